// An engine folder as weights: mapped as it is, copied, or stitched from several ranks.
#include "artifact/engine_reader.h"
#include "weights/loaded_weights.h"

namespace glmoe {

LoadedWeights load_engine(const std::string& path, ThreadTeam& team,
                          const EngineLoadOptions& options) {
  const ArtifactReader reader(path);
  if (options.verify_checksums) reader.verify_blobs(team);
  const bool one_rank = reader.manifest().ranks.size() == 1;
  if (one_rank && !options.copy_to_memory) return LoadedWeights(reader.mapped_blobs());
  return LoadedWeights(
      load_to_memory(reader.source(), reader.manifest().dtype, team, options.memory));
}

}  // namespace glmoe
