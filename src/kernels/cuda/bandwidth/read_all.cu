#include "kernels/cuda/bandwidth/read_all.h"

#include <string>

#include "glmoe/error.h"
#include "kernels/cuda/common/launch.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kBlocksPerSm = 16;  // four at a time, so that the last ones end together
constexpr int kUnroll = 4;        // 16-byte loads that a thread has under way

__global__ void read_all_kernel(const uint4* from, size_t count, uint32_t* checksum) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const size_t step = static_cast<size_t>(gridDim.x) * kThreads;
  uint32_t sum = 0;
  for (size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += kUnroll * step) {
    uint4 values[kUnroll];
#pragma unroll
    for (int j = 0; j < kUnroll; ++j) {
      values[j] = i + j * step < count ? __ldcs(from + i + j * step) : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int j = 0; j < kUnroll; ++j) {
      sum ^= values[j].x ^ values[j].y ^ values[j].z ^ values[j].w;
    }
  }
  // The loads count only if something is made of them; one atomic a warp that read anything else
  // than zeros is nothing beside them.
  sum = __reduce_xor_sync(~0u, sum);
  if (threadIdx.x % 32 == 0 && sum != 0) atomicXor(checksum, sum);
}

}  // namespace

void launch_read_all(const void* from, size_t num_bytes, uint32_t* checksum, int num_sms,
                     cudaStream_t stream) {
  if (num_bytes % sizeof(uint4) != 0 || reinterpret_cast<uintptr_t>(from) % sizeof(uint4) != 0) {
    throw Error(ErrorCode::kInvalidArgument, "read_all: address and num_bytes " +
                                                 std::to_string(num_bytes) +
                                                 " were wanted as multiples of 16");
  }
  if (num_bytes == 0) return;
  launch_kernel(read_all_kernel, dim3(static_cast<unsigned>(num_sms * kBlocksPerSm)),
                dim3(kThreads), 0, stream, static_cast<const uint4*>(from),
                num_bytes / sizeof(uint4), checksum);
}

}  // namespace glmoe::cuda
