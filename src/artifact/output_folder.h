// Where convert and build write: aside, in OUT.partial, and into OUT's place in one step at the
// end. Whatever is not ours is refused rather than destroyed.
#pragma once

#include <string>

#include "artifact/model_folder.h"

namespace glmoe {

class OutputFolder {
 public:
  // Checks before any work: `output` is not the source nor a parent of it, and is absent, empty or
  // a folder of the same kind without foreign files; its parent can be written to. `output` may be
  // a symbolic link to a folder. Throws kInvalidArgument or kIo.
  OutputFolder(const std::string& output, const std::string& source, ModelFolderKind kind);

  const std::string& path() const { return path_; }        // final
  const std::string& staging() const { return staging_; }  // "<path>.partial"

  // Makes the staging folder, or finds it from an earlier run (true). Holds its lock until this
  // object goes; throws kUnavailable where another process is at work on it.
  bool open_staging();
  // Whether open_staging() came through: the folder is this object's to remove.
  bool owns_staging() const { return owns_staging_; }
  void clear_staging();  // removes what is in it
  void remove_staging();
  void publish();  // staging takes the place of the final folder

  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

 private:
  void refuse_foreign(const std::string& folder) const;

  std::string path_, staging_;
  ModelFolderKind kind_;
  int lock_ = -1;
  bool owns_staging_ = false;
};

}  // namespace glmoe
