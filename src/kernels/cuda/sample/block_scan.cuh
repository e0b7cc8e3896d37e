// Sums over the threads of a block, in an order that the block's size fixes.
#pragma once

namespace glmoe::cuda {

// The sum of `own` of all threads before this one; `total` becomes that of all. The sum before is 0
// exactly where all of it is. All threads call it; `space` [blockDim.x / 32] may be used again
// after.
__device__ inline double block_sum_before(double own, double* space, double& total) {
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int num_warps = blockDim.x / 32;
  const auto sum_up_to = [lane](double sum) {
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const double other = __shfl_up_sync(0xffffffffu, sum, distance);
      if (lane >= distance) sum += other;
    }
    return sum;
  };
  const double sum = sum_up_to(own);
  const double before = __shfl_up_sync(0xffffffffu, sum, 1);
  if (lane == 31) space[warp] = sum;
  __syncthreads();
  const double of_warps = sum_up_to(lane < num_warps ? space[lane] : 0.0);
  total = __shfl_sync(0xffffffffu, of_warps, 31);
  const double warps_before = __shfl_sync(0xffffffffu, of_warps, max(warp - 1, 0));
  __syncthreads();
  return (warp == 0 ? 0.0 : warps_before) + (lane == 0 ? 0.0 : before);
}

}  // namespace glmoe::cuda
