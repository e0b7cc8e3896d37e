// How often each token has come in a sequence, in device memory, for the penalties of sampling.
//
// A sequence with penalties has a slot, a row of the table [slots, stride]: for each token id the
// number of times it was generated, and kSeenInPrompt where the prompt has it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace glmoe::cuda {

inline constexpr uint32_t kSeenInPrompt = 0x80000000u;

enum class CountedAs { kPrompt, kOutput };

struct TokenCountsParams {
  uint32_t* counts = nullptr;          // device, [slots, stride]
  int64_t stride = 0;                  // at least num_token_ids
  int num_token_ids = 0;               // ids outside [0, num_token_ids) are ignored
  const int32_t* token_ids = nullptr;  // device, [n]
  int64_t num_tokens = 0;              // n; 0 does nothing
  int32_t slot = 0;
  CountedAs counted_as = CountedAs::kPrompt;
};

// Adds the tokens to the slot. A new sequence: clear, then its prompt, then (after a pre-emption)
// its output so far; launch_sample adds what it samples. Each enqueues one kernel or memset and
// throws Error{kInvalidArgument} for parameters outside the above.
void launch_token_counts(const TokenCountsParams& params, cudaStream_t stream);
void clear_token_counts(uint32_t* counts, int64_t stride, int32_t slot, cudaStream_t stream);

}  // namespace glmoe::cuda
