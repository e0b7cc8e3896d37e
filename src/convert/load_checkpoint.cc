#include "convert/load_checkpoint.h"

#include <memory>

#include "artifact/engine_reader.h"
#include "artifact/model_folder.h"
#include "convert/converted_folder.h"
#include "convert/source_plan.h"

namespace glmoe {

TensorSource open_checkpoint(const std::string& path, ThreadTeam* verify_with) {
  switch (detect_model_folder(path)) {
    case ModelFolderKind::kHuggingFace:
      return resolve_source(std::make_shared<const HfFolder>(path));
    case ModelFolderKind::kConverted: return open_converted(path);
    case ModelFolderKind::kEngine: break;
  }
  const ArtifactReader reader(path);
  if (verify_with != nullptr) reader.verify_blobs(*verify_with);
  return reader.source();
}

BlobSet load_checkpoint_to_blobs(const std::string& path, std::optional<DType> dtype,
                                 ThreadTeam& team, const MemoryLoadOptions& options) {
  const TensorSource source = open_checkpoint(path);
  return load_to_memory(source, dtype.value_or(source.dtype), team, options);
}

}  // namespace glmoe
