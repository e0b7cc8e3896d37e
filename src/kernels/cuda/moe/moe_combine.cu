#include "kernels/cuda/moe/moe_combine.h"

#include <type_traits>

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/vector_io.cuh"
#include "kernels/cuda/moe/moe_checks.h"

namespace glmoe::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kMaxSlots = 40;
// Slots whose values are under way at once.
constexpr int kUnroll = 4;

// A thread has eight columns of one row; blockIdx.x counts blocks of columns, then rows. Out: float
// adds to the residual, a 16-bit type overwrites `out`.
template <class Y, class Out>
__global__ void __launch_bounds__(kThreads)
    combine_kernel(const MoeCombineParams p, int column_blocks) {
  __shared__ int positions[kMaxSlots];
  __shared__ float weights[kMaxSlots];
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t row = blockIdx.x / column_blocks;
  if (p.num_valid != nullptr && row >= *p.num_valid) return;
  const int num_slots = p.slots_per_row;
  if (threadIdx.x < num_slots) {
    const int64_t slot = row * num_slots + threadIdx.x;
    positions[threadIdx.x] = p.position_of[slot];
    weights[threadIdx.x] = p.weights[slot];
  }
  __syncthreads();
  const int chunk = blockIdx.x % column_blocks * kThreads + threadIdx.x;
  if (chunk * kChunk >= p.hidden_size) return;
  const Y* y = static_cast<const Y*>(p.y) + chunk * kChunk;
  constexpr bool kAdds = std::is_same_v<Out, float>;
  Out* target = (kAdds ? reinterpret_cast<Out*>(p.residual) : static_cast<Out*>(p.out)) +
                row * p.hidden_size + chunk * kChunk;
  float base[kChunk] = {};
  if constexpr (kAdds) load_chunk(target, base);
  float sum[kChunk] = {};
  for (int first = 0; first < num_slots; first += kUnroll) {
    float values[kUnroll][kChunk];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int j = first + u;
      if (j < num_slots && positions[j] >= 0) {
        load_chunk(y + static_cast<int64_t>(positions[j]) * p.hidden_size, values[u]);
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int j = first + u;
      if (j >= num_slots || positions[j] < 0) continue;
#pragma unroll
      for (int i = 0; i < kChunk; ++i) sum[i] = fmaf(weights[j], values[u][i], sum[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i) base[i] += sum[i];
  store_chunk(target, base);
}

}  // namespace

void launch_moe_combine(const MoeCombineParams& p, cudaStream_t stream) {
  const ParamChecks checks("moe_combine");
  checks.in_range("num_rows", p.num_rows, 0, 1 << 20);
  checks.in_range("slots_per_row", p.slots_per_row, 1, kMaxSlots);
  checks.multiple_of("hidden_size", p.hidden_size, kChunk);
  if (p.num_rows == 0) return;
  if (p.residual != nullptr) {
    checks.pointer("residual", p.residual, 16);
  } else {
    checks.pointer("out", p.out, 16);
    if (p.out_type == ElementType::kF32) {
      checks.refuse("out_type is float32, wanted bfloat16 or float16");
    }
    if (p.y_type != ElementType::kF32 && p.y_type != p.out_type) {
      checks.refuse("y_type is neither float32 nor out_type");
    }
  }
  checks.pointer("y", p.y, 16);
  checks.pointer("weights", p.weights, 4);
  checks.pointer("position_of", p.position_of, 4);
  const int column_blocks = (p.hidden_size / kChunk + kThreads - 1) / kThreads;
  checks.in_range("num_rows * hidden_size / 1024", p.num_rows * column_blocks, 1, INT32_MAX);
  const dim3 grid(static_cast<unsigned>(p.num_rows * column_blocks));
  const auto launch = [&](auto kernel) {
    launch_kernel(kernel, grid, dim3(kThreads), 0, stream, p, column_blocks);
  };
  const bool wide = p.y_type == ElementType::kF32;
  if (p.residual == nullptr && p.out_type == ElementType::kBf16) {
    return wide ? launch(combine_kernel<float, __nv_bfloat16>)
                : launch(combine_kernel<__nv_bfloat16, __nv_bfloat16>);
  }
  if (p.residual == nullptr) {
    return wide ? launch(combine_kernel<float, __half>) : launch(combine_kernel<__half, __half>);
  }
  switch (p.y_type) {
    case ElementType::kF32: return launch(combine_kernel<float, float>);
    case ElementType::kBf16: return launch(combine_kernel<__nv_bfloat16, float>);
    case ElementType::kF16: return launch(combine_kernel<__half, float>);
  }
}

}  // namespace glmoe::cuda
