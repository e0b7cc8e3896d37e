#include "convert/build_engine.h"

#include "artifact/engine_writer.h"
#include "convert/load_checkpoint.h"

namespace glmoe {

BuildReport build_engine(const BuildOptions& options, const ProgressCallback& progress) {
  ThreadTeam team(options.workers);
  const TensorSource source = open_checkpoint(options.model_dir, &team);
  const Mapping mapping = options.mapping.value_or(source.mapping);
  source.plan.config.validate_mapping(mapping);
  EngineWriteOptions write;
  write.output_dir = options.output_dir;
  write.mapping = mapping.resolved();
  write.dtype = options.dtype.value_or(source.dtype);
  write.recipe = {{"target", "cpu"}, {"weights", "plain"}};
  write.max_host_memory = options.max_host_memory;
  write_engine(source, write, team, progress);
  BuildReport report;
  report.num_ranks = write.mapping.world_size;
  report.dtype = write.dtype;
  for (const RankBlob& blob : list_rank_blobs(source.plan, write.mapping, write.dtype)) {
    report.num_bytes += blob.num_bytes();
  }
  return report;
}

}  // namespace glmoe
