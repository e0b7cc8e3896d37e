// `glmoe build`: a converted folder, or a Hugging Face folder at once, to an engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "artifact/materialise.h"
#include "glmoe/mapping.h"

namespace glmoe {

struct BuildOptions {
  std::string model_dir;
  std::string output_dir;
  std::optional<DType> dtype;      // of the matrices; nullopt: as they are
  std::optional<Mapping> mapping;  // nullopt: the converted folder's own; one rank from the rest
  int workers = 0;                 // threads; 0: one a physical core
  uint64_t max_host_memory = 0;    // bytes; 0: no limit
};

struct BuildReport {
  int64_t num_ranks = 0;
  uint64_t num_bytes = 0;  // of tensors, over all ranks
  DType dtype = DType::kBF16;
};

BuildReport build_engine(const BuildOptions& options, const ProgressCallback& progress = {});

}  // namespace glmoe
