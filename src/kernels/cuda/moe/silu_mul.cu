#include "kernels/cuda/moe/silu_mul.h"

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/vector_io.cuh"
#include "kernels/cuda/moe/moe_checks.h"

namespace glmoe::cuda {
namespace {

constexpr int kThreads = 256;

// A thread has eight columns of one row.
template <class In, class Out>
__global__ void __launch_bounds__(kThreads)
    silu_mul_kernel(const SiluMulParams p, int64_t num_chunks) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= num_chunks) return;
  const int row_chunks = p.width / kChunk;
  const int64_t row = at / row_chunks;
  if (p.num_valid != nullptr && row >= *p.num_valid) return;
  const int chunk = static_cast<int>(at - row * row_chunks);
  const In* gate = static_cast<const In*>(p.gate_up) + row * 2 * p.width;
  const In* up = gate;
  if (p.interleave == kGateUpBy8) {
    gate += 2 * kChunk * chunk;
    up = gate + kChunk;
  } else {
    gate += kChunk * chunk;
    up = gate + p.width;
  }
  float g[kChunk], u[kChunk];
  load_chunk(gate, g);
  load_chunk(up, u);
#pragma unroll
  for (int i = 0; i < kChunk; ++i) u[i] *= g[i] / (1.0f + expf(-g[i]));
  store_chunk(static_cast<Out*>(p.out) + at * kChunk, u);
}

template <class In>
void launch(const SiluMulParams& p, cudaStream_t stream) {
  const int64_t num_chunks = p.num_rows * (p.width / kChunk);
  const dim3 grid(static_cast<unsigned>((num_chunks + kThreads - 1) / kThreads));
  if (p.out_type == ElementType::kBf16) {
    launch_kernel(silu_mul_kernel<In, __nv_bfloat16>, grid, dim3(kThreads), 0, stream, p,
                  num_chunks);
  } else {
    launch_kernel(silu_mul_kernel<In, __half>, grid, dim3(kThreads), 0, stream, p, num_chunks);
  }
}

}  // namespace

void launch_silu_mul(const SiluMulParams& p, cudaStream_t stream) {
  const ParamChecks checks("silu_mul");
  checks.multiple_of("width", p.width, kChunk);
  checks.in_range("num_rows * width / 8", p.num_rows * (p.width / kChunk), 0,
                  int64_t{kThreads} * INT32_MAX);
  if (p.interleave != kGateUpPlain && p.interleave != kGateUpBy8) {
    checks.refuse("interleave is " + std::to_string(p.interleave) + ", wanted 0 or 8");
  }
  if (p.out_type == ElementType::kF32) {
    checks.refuse("out_type is float32, wanted bfloat16 or float16");
  }
  if (p.num_rows == 0) return;
  checks.pointer("gate_up", p.gate_up, 16);
  checks.pointer("out", p.out, 16);
  switch (p.in_type) {
    case ElementType::kF32: return launch<float>(p, stream);
    case ElementType::kBf16: return launch<__nv_bfloat16>(p, stream);
    case ElementType::kF16: return launch<__half>(p, stream);
  }
}

}  // namespace glmoe::cuda
