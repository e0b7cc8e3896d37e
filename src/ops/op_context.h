// What every op needs to run; passed, never global.
#pragma once

#include "base/thread_team.h"
#include "tensor/tensor.h"

namespace glmoe {

// On the CPU, activations are F32 in memory. `compute_dtype` says to what precision the inputs of a
// matrix product are rounded (kBF16: to bfloat16; kF32 and kF16: not at all) and how the KV cache
// is stored; sums are always F32. Every row of every op's result depends on that row's inputs
// alone, to the bit: batch size, chunking and neighbours never change a token.
struct OpContext {
  ThreadTeam* team = nullptr;
  Workspace* workspace = nullptr;
  DType compute_dtype = DType::kF32;
};

}  // namespace glmoe
