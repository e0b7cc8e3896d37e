// Writes an engine folder from a TensorSource: streaming, in parallel, checksums on the way.
#pragma once

#include <cstdint>
#include <string>

#include "artifact/materialise.h"
#include "artifact/tensor_source.h"
#include "base/json.h"

namespace glmoe {

struct EngineWriteOptions {
  std::string output_dir;
  Mapping mapping;  // resolved
  DType dtype = DType::kBF16;
  Json recipe = Json::object();
  uint64_t max_host_memory = 0;  // bytes; 0: no limit
};

// Writes aside, syncs, and puts the folder in its place at the end; an interrupted or failed run
// leaves the old engine or none. Throws as OutputFolder, materialise and base/file do.
void write_engine(const TensorSource& source, const EngineWriteOptions& options, ThreadTeam& team,
                  const ProgressCallback& progress = {});

}  // namespace glmoe
