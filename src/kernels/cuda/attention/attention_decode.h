// Attention of sequences of one row over the paged cache: bound by the memory that K and V stream
// from. The context of a row is cut into splits by its length alone, whatever else is in the batch,
// so a row's result is the same bits in any batch. Numbers: docs/kernels/cuda-attention-decode.md.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention/attention_params.h"

namespace glmoe::cuda {

inline constexpr int kMaxDecodeSequences = 1024;

// Tokens of a tile: what is loaded, multiplied and masked at a time. Splits are whole tiles.
inline constexpr int kDecodeTile = 64;

// The largest number of splits of any row, a power of two: a function of the number of KV heads
// alone.
int attention_decode_max_splits(const AttentionHeads& heads);

// Bytes of workspace for calls with any number of sequences of any length on a device of `num_sms`
// multiprocessors.
size_t attention_decode_workspace_bytes(const AttentionHeads& heads, int num_sms);

// Enqueues one kernel on a grid that only the device fixes: sequences of any length can come with
// a captured graph. Throws Error{kInvalidArgument} for parameters outside attention_params.h, or
// what cuda_check.h says where the launch is refused.
void launch_attention_decode(const AttentionDecodeParams& params, cudaStream_t stream);

}  // namespace glmoe::cuda
