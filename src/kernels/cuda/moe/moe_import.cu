#include "kernels/cuda/moe/moe_import.h"

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/vector_io.cuh"
#include "kernels/cuda/moe/moe_checks.h"

namespace glmoe::cuda {
namespace {

constexpr int kThreads = 256;

unsigned blocks_for(int64_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

template <class W>
__global__ void __launch_bounds__(kThreads) import_kernel(const MoeImportParams p) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t slot = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (slot >= p.num_slots) return;
  const int64_t id = p.ids_64_bit ? static_cast<const int64_t*>(p.expert_ids)[slot]
                                  : static_cast<const int32_t*>(p.expert_ids)[slot];
  p.to_ids[slot] = id >= 0 && id < p.num_experts ? static_cast<int32_t>(id) : -1;
  p.to_weights[slot] = to_float(static_cast<const W*>(p.weights)[slot]);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    widen_kernel(const T* from, float* to, int64_t num_chunks) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t chunk = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (chunk >= num_chunks) return;
  float values[kChunk];
  load_chunk(from + chunk * kChunk, values);
  store_chunk(to + chunk * kChunk, values);
}

}  // namespace

void launch_moe_import(const MoeImportParams& p, cudaStream_t stream) {
  const ParamChecks checks("moe_import");
  checks.in_range("num_slots", p.num_slots, 0, 1 << 25);
  checks.in_range("num_experts", p.num_experts, 1, INT32_MAX);
  if (p.num_slots == 0) return;
  checks.pointer("expert_ids", p.expert_ids, p.ids_64_bit ? 8 : 4);
  checks.pointer("weights", p.weights, p.weights_type == ElementType::kF32 ? 4 : 2);
  checks.pointer("to_ids", p.to_ids, 4);
  checks.pointer("to_weights", p.to_weights, 4);
  const auto launch = [&](auto kernel) {
    launch_kernel(kernel, dim3(blocks_for(p.num_slots)), dim3(kThreads), 0, stream, p);
  };
  switch (p.weights_type) {
    case ElementType::kF32: return launch(import_kernel<float>);
    case ElementType::kBf16: return launch(import_kernel<__nv_bfloat16>);
    case ElementType::kF16: return launch(import_kernel<__half>);
  }
}

void launch_widen(const void* from, ElementType type, float* to, int64_t count,
                  cudaStream_t stream) {
  const ParamChecks checks("widen");
  checks.in_range("count / 8", count / kChunk, 0, int64_t{kThreads} * INT32_MAX);
  if (count % kChunk != 0) checks.refuse("count is no multiple of 8");
  if (count == 0) return;
  checks.pointer("from", from, 16);
  checks.pointer("to", to, 16);
  const int64_t chunks = count / kChunk;
  const dim3 grid(blocks_for(chunks));
  if (type == ElementType::kBf16) {
    launch_kernel(widen_kernel<__nv_bfloat16>, grid, dim3(kThreads), 0, stream, from, to, chunks);
  } else if (type == ElementType::kF16) {
    launch_kernel(widen_kernel<__half>, grid, dim3(kThreads), 0, stream, from, to, chunks);
  } else {
    checks.refuse("type is float32, wanted bfloat16 or float16");
  }
}

}  // namespace glmoe::cuda
