// Opens an engine folder: manifest and rank files checked against each other and the weight plan,
// files mapped, nothing copied.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "artifact/blob_set.h"
#include "artifact/manifest.h"
#include "artifact/tensor_source.h"
#include "base/file.h"
#include "base/thread_team.h"

namespace glmoe {

class ArtifactReader {
 public:
  // Throws kUnsupported for another format version, else kCorrupt with all reasons at once.
  explicit ArtifactReader(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const EngineManifest& manifest() const { return manifest_; }
  const Glm4MoeConfig& config() const { return manifest_.config; }
  TensorView view(size_t rank, const EngineBlob& blob) const;

  // Reads everything and compares checksums, in parallel; manifest and companion files too. Throws
  // kCorrupt naming all blobs and files that differ, kIo when a file shrank meanwhile.
  void verify_blobs(ThreadTeam& team) const;

  // Full logical tensors, stitched from all ranks; keeps the mappings alive.
  TensorSource source() const;
  // The blobs as they lie in the file. Only for engines of one rank.
  BlobSet mapped_blobs() const;

 private:
  std::string folder_;
  EngineManifest manifest_;
  std::shared_ptr<std::vector<MappedFile>> files_;
};

}  // namespace glmoe
