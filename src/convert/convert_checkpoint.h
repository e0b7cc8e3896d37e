// `glmoe convert`: a checkpoint to a converted folder, ranks and all; resumable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "artifact/materialise.h"
#include "glmoe/mapping.h"

namespace glmoe {

struct ConvertOptions {
  std::string model_dir;  // Hugging Face folder (a converted folder or an engine will do)
  std::string output_dir;
  std::optional<DType> dtype;    // of the matrices; nullopt: the checkpoint's own ("auto")
  Mapping mapping;               // resolved here
  int workers = 0;               // threads; 0: one a physical core
  uint64_t max_host_memory = 0;  // bytes; 0: no limit
  // Finished work is synced and noted in the journal each time so many bytes have gathered.
  uint64_t journal_bytes = uint64_t{256} << 20;
};

struct ConvertReport {
  int64_t num_ranks = 0;
  uint64_t num_bytes = 0;      // of tensors, over all ranks
  uint64_t resumed_bytes = 0;  // that an interrupted run had left done
  DType dtype = DType::kBF16;
};

// Works in OUT.partial; interrupted, it leaves the old OUT or none, and the same call goes on where
// it was (same source, options and layout; otherwise it starts again). Throws kInvalidArgument,
// kCorrupt, kUnsupported or kIo with a message that says what to do.
ConvertReport convert_checkpoint(const ConvertOptions& options,
                                 const ProgressCallback& progress = {});

}  // namespace glmoe
