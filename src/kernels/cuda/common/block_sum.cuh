// The sum of one value a thread over a block, in an order that the block's size alone fixes.
#pragma once

namespace glmoe::cuda {

inline constexpr int kWarp = 32;

__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  }
  return value;
}

// Every thread gets the sum. All threads of the block must call it, once a kernel (`partial` is not
// reused); blockDim.x is a multiple of 32, at most 1024.
__device__ inline float block_sum(float value) {
  __shared__ float partial[kWarp];
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int num_warps = blockDim.x / kWarp;
  value = warp_sum(value);
  if (num_warps == 1) return value;
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  return warp_sum(lane < num_warps ? partial[lane] : 0.0f);
}

}  // namespace glmoe::cuda
