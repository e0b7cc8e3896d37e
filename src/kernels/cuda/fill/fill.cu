#include "kernels/cuda/fill/fill.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/vector_io.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;

// SplitMix64 (Steele, Lea, Flood 2014).
__device__ uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

template <class T>
__global__ void fill_random_kernel(T* out, int64_t count, float half, uint64_t seed) {
  wait_for_earlier_kernels();
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const uint64_t key = mix(seed);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    const auto bits = static_cast<uint32_t>(mix(key + static_cast<uint64_t>(i)) >> 40);
    out[i] = from_float<T>(half * (static_cast<float>(bits) * 0x1p-23f - 1.0f));
  }
}

__global__ void fill_constant_kernel(float* out, int64_t count, float value) {
  wait_for_earlier_kernels();
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    out[i] = value;
  }
}

__global__ void gather_rows_kernel(const float4* rows, const int32_t* index, float4* out,
                                   int width) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const float4* from = rows + static_cast<int64_t>(index[blockIdx.x]) * width;
  float4* to = out + static_cast<int64_t>(blockIdx.x) * width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = from[i];
}

unsigned num_blocks(int64_t count) {
  return static_cast<unsigned>(std::min(kMaxBlocks, (count + kThreads - 1) / kThreads));
}

template <class T>
void fill_random(void* out, int64_t count, float half, uint64_t seed, cudaStream_t stream) {
  launch_kernel(fill_random_kernel<T>, dim3(num_blocks(count)), dim3(kThreads), 0, stream,
                static_cast<T*>(out), count, half, seed);
}

}  // namespace

void launch_fill_random(void* out, ElementType type, int64_t count, float half, uint64_t seed,
                        cudaStream_t stream) {
  if (count <= 0) return;
  switch (type) {
    case ElementType::kF32: return fill_random<float>(out, count, half, seed, stream);
    case ElementType::kBf16: return fill_random<__nv_bfloat16>(out, count, half, seed, stream);
    case ElementType::kF16: return fill_random<__half>(out, count, half, seed, stream);
  }
}

void launch_fill_constant(float* out, int64_t count, float value, cudaStream_t stream) {
  if (count <= 0) return;
  launch_kernel(fill_constant_kernel, dim3(num_blocks(count)), dim3(kThreads), 0, stream, out,
                count, value);
}

void launch_gather_rows(const float* rows, const int32_t* index, float* out, int num_rows,
                        int width, cudaStream_t stream) {
  if (num_rows <= 0) return;
  launch_kernel(gather_rows_kernel, dim3(static_cast<unsigned>(num_rows)), dim3(kThreads), 0,
                stream, reinterpret_cast<const float4*>(rows), index,
                reinterpret_cast<float4*>(out), width / 4);
}

}  // namespace glmoe::cuda
