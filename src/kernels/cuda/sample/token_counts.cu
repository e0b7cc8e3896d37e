#include "kernels/cuda/sample/token_counts.h"

#include <climits>
#include <string>

#include "kernels/cuda/common/launch.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void token_counts_kernel(const TokenCountsParams p) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= p.num_tokens) return;
  const int32_t id = p.token_ids[at];
  if (id < 0 || id >= p.num_token_ids) return;
  uint32_t* count = p.counts + p.slot * p.stride + id;
  if (p.counted_as == CountedAs::kPrompt) {
    atomicOr(count, kSeenInPrompt);
  } else {
    atomicAdd(count, 1u);
  }
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "token_counts: " + what);
}

void check_slot(const uint32_t* counts, int64_t stride, int32_t slot) {
  if (counts == nullptr) refuse("counts is null: wanted device memory");
  if (slot < 0) refuse("slot is " + std::to_string(slot) + ", wanted 0 or more");
  if (stride <= 0) refuse("stride is " + std::to_string(stride) + ", wanted 1 or more");
}

}  // namespace

void launch_token_counts(const TokenCountsParams& params, cudaStream_t stream) {
  check_slot(params.counts, params.stride, params.slot);
  if (params.num_token_ids <= 0 || params.num_token_ids > params.stride) {
    refuse("num_token_ids is " + std::to_string(params.num_token_ids) + ", wanted 1 to stride (" +
           std::to_string(params.stride) + ")");
  }
  if (params.num_tokens < 0 || params.num_tokens > INT_MAX) {
    refuse("num_tokens is " + std::to_string(params.num_tokens) + ", wanted 0 to 2147483647");
  }
  if (params.num_tokens == 0) return;
  if (params.token_ids == nullptr) refuse("token_ids is null: wanted device memory");
  const int64_t blocks = (params.num_tokens + kThreads - 1) / kThreads;
  launch_kernel(token_counts_kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream,
                params);
}

void clear_token_counts(uint32_t* counts, int64_t stride, int32_t slot, cudaStream_t stream) {
  check_slot(counts, stride, slot);
  GLMOE_CUDA(cudaMemsetAsync(counts + slot * stride, 0,
                             static_cast<size_t>(stride) * sizeof(uint32_t), stream));
}

}  // namespace glmoe::cuda
