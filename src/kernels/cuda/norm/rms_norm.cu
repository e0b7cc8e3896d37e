#include "kernels/cuda/norm/rms_norm.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <climits>
#include <string>

#include "kernels/cuda/common/block_sum.cuh"
#include "kernels/cuda/common/cuda_check.h"
#include "kernels/cuda/common/vector_io.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kMaxHidden = 32768;  // 1024 threads of 4 chunks
constexpr int kMaxThreads = 1024;

// One block a row; the row stays in registers between the two passes over it. A thread's chunks
// are blockDim.x apart, so that a warp's accesses lie side by side.
template <class X, class Gamma, class Out, int kChunksPerThread>
__global__ void rms_norm_kernel(const RmsNormParams p) {
  const int64_t row_offset = static_cast<int64_t>(blockIdx.x) * p.hidden_size;
  const X* x = static_cast<const X*>(p.x) + row_offset;
  const int num_chunks = p.hidden_size / kChunk;
  float values[kChunksPerThread][kChunk];
#pragma unroll
  for (int c = 0; c < kChunksPerThread; ++c) {
    const int chunk = c * blockDim.x + threadIdx.x;
    if (chunk < num_chunks) load_chunk(x + chunk * kChunk, values[c]);
  }
  if (p.delta != nullptr) {
    const X* delta = static_cast<const X*>(p.delta) + row_offset;
    X* sum = static_cast<X*>(p.sum) + row_offset;
#pragma unroll
    for (int c = 0; c < kChunksPerThread; ++c) {
      const int chunk = c * blockDim.x + threadIdx.x;
      if (chunk >= num_chunks) continue;
      float added[kChunk];
      load_chunk(delta + chunk * kChunk, added);
#pragma unroll
      for (int i = 0; i < kChunk; ++i) values[c][i] = rounded_to<X>(values[c][i] + added[i]);
      store_chunk(sum + chunk * kChunk, values[c]);
    }
  }
  float squares = 0.0f;
#pragma unroll
  for (int c = 0; c < kChunksPerThread; ++c) {
    if (c * blockDim.x + threadIdx.x >= num_chunks) continue;
#pragma unroll
    for (int i = 0; i < kChunk; ++i) squares += values[c][i] * values[c][i];
  }
  const float mean = block_sum(squares) / static_cast<float>(p.hidden_size);
  const float scale = 1.0f / sqrtf(mean + p.eps);
  if (p.row_factors != nullptr && threadIdx.x == 0) p.row_factors[blockIdx.x] = scale;
  const Gamma* gamma = static_cast<const Gamma*>(p.gamma);
  Out* out = static_cast<Out*>(p.out) + row_offset;
#pragma unroll
  for (int c = 0; c < kChunksPerThread; ++c) {
    const int chunk = c * blockDim.x + threadIdx.x;
    if (chunk >= num_chunks) continue;
    float weights[kChunk];
    load_chunk(gamma + chunk * kChunk, weights);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) weights[i] *= values[c][i] * scale;
    store_chunk(out + chunk * kChunk, weights);
  }
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "rms_norm: " + what);
}

void check_pointer(const char* name, const void* pointer) {
  if (pointer == nullptr) refuse(std::string(name) + " is null: wanted device memory");
  if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) {
    refuse(std::string(name) + " is not aligned to 16 bytes: give it the start of a buffer");
  }
}

void check_params(const RmsNormParams& p, const RmsNormConfig& config) {
  if (p.hidden_size <= 0 || p.hidden_size % kChunk != 0 || p.hidden_size > kMaxHidden) {
    refuse("hidden_size is " + std::to_string(p.hidden_size) + ", wanted a multiple of " +
           std::to_string(kChunk) + " from 8 to " + std::to_string(kMaxHidden));
  }
  if (p.num_rows < 0 || p.num_rows > INT_MAX) {
    refuse("num_rows is " + std::to_string(p.num_rows) + ", wanted 0 to 2147483647");
  }
  if (!(p.eps >= 0.0f)) refuse("eps is " + std::to_string(p.eps) + ", wanted 0 or more");
  if (p.num_rows > 0) {
    check_pointer("x", p.x);
    check_pointer("gamma", p.gamma);
    check_pointer("out", p.out);
    if ((p.delta == nullptr) != (p.sum == nullptr)) refuse("delta and sum: give both or neither");
    if (p.delta != nullptr) check_pointer("delta", p.delta), check_pointer("sum", p.sum);
  }
  const int c = config.chunks_per_thread;
  if ((c != 1 && c != 2 && c != 4) || config.threads % kWarp != 0 || config.threads <= 0 ||
      config.threads > kMaxThreads || config.threads * c * kChunk < p.hidden_size) {
    refuse(std::to_string(config.threads) + " threads of " + std::to_string(c) +
           " chunks do not cover hidden_size " + std::to_string(p.hidden_size));
  }
}

template <class X, class Gamma, class Out>
void launch(const RmsNormParams& p, const RmsNormConfig& config, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(p.num_rows));
  const dim3 block(static_cast<unsigned>(config.threads));
  switch (config.chunks_per_thread) {
    case 1: rms_norm_kernel<X, Gamma, Out, 1><<<grid, block, 0, stream>>>(p); break;
    case 2: rms_norm_kernel<X, Gamma, Out, 2><<<grid, block, 0, stream>>>(p); break;
    default: rms_norm_kernel<X, Gamma, Out, 4><<<grid, block, 0, stream>>>(p); break;
  }
  GLMOE_CUDA(cudaGetLastError());
}

// Turns the run-time types into template arguments, one at a time.
template <class... Chosen>
void choose(const RmsNormParams& p, const RmsNormConfig& config, cudaStream_t stream) {
  constexpr size_t kNumChosen = sizeof...(Chosen);
  if constexpr (kNumChosen == 3) {
    launch<Chosen...>(p, config, stream);
  } else {
    const ElementType types[] = {p.x_type, p.gamma_type, p.out_type};
    switch (types[kNumChosen]) {
      case ElementType::kF32: choose<Chosen..., float>(p, config, stream); break;
      case ElementType::kBf16: choose<Chosen..., __nv_bfloat16>(p, config, stream); break;
      case ElementType::kF16: choose<Chosen..., __half>(p, config, stream); break;
    }
  }
}

}  // namespace

RmsNormConfig rms_norm_config(int hidden_size) {
  const int chunks = (hidden_size + kChunk - 1) / kChunk;
  RmsNormConfig config;
  // As many threads as a row can feed: at few rows, where latency counts, more chunks a thread cost
  // a quarter of the time; at many rows with delta they gain nothing.
  if (chunks > kMaxThreads) config.chunks_per_thread = 2;
  if (chunks > 2 * kMaxThreads) config.chunks_per_thread = 4;
  const int threads = (chunks + config.chunks_per_thread - 1) / config.chunks_per_thread;
  config.threads = (threads + kWarp - 1) / kWarp * kWarp;
  return config;
}

void launch_rms_norm(const RmsNormParams& params, const RmsNormConfig& config,
                     cudaStream_t stream) {
  check_params(params, config);
  if (params.num_rows == 0) return;
  choose<>(params, config, stream);
}

void launch_rms_norm(const RmsNormParams& params, cudaStream_t stream) {
  launch_rms_norm(params, rms_norm_config(params.hidden_size), stream);
}

}  // namespace glmoe::cuda
