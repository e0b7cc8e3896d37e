#include "kernels/cuda/moe/moe_gather.h"

#include <climits>

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/moe/moe_checks.h"

namespace glmoe::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kChunkBytes = 16;
constexpr int kChunkValues = 8;
constexpr int kMaxSlots = 40;

// A thread has one chunk of one row and writes it to each of the row's positions; blockIdx.x counts
// blocks of chunks, then rows. Position by position instead, a row of x would come from memory once
// a slot.
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const MoeGatherParams p, int chunk_blocks) {
  __shared__ int positions[kMaxSlots];
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t row = blockIdx.x / chunk_blocks;
  if (threadIdx.x < p.slots_per_row) {
    positions[threadIdx.x] = p.position_of[row * p.slots_per_row + threadIdx.x];
  }
  const int num_chunks = p.hidden_size / kChunkValues;
  const int chunk = blockIdx.x % chunk_blocks * kThreads + threadIdx.x;
  int4 values{};
  if (chunk < num_chunks) values = static_cast<const int4*>(p.x)[row * num_chunks + chunk];
  __syncthreads();
  if (chunk >= num_chunks) return;
  int4* out = static_cast<int4*>(p.out) + chunk;
  for (int j = 0; j < p.slots_per_row; ++j) {
    if (positions[j] >= 0) out[static_cast<int64_t>(positions[j]) * num_chunks] = values;
  }
}

}  // namespace

void launch_moe_gather(const MoeGatherParams& p, cudaStream_t stream) {
  const ParamChecks checks("moe_gather");
  if (p.type == ElementType::kF32) checks.refuse("type is float32, wanted bfloat16 or float16");
  checks.in_range("num_rows", p.num_rows, 0, 1 << 20);
  checks.in_range("slots_per_row", p.slots_per_row, 1, kMaxSlots);
  checks.multiple_of("hidden_size", p.hidden_size, kChunkValues);
  if (p.num_rows == 0) return;
  checks.pointer("x", p.x, kChunkBytes);
  checks.pointer("position_of", p.position_of, 4);
  checks.pointer("out", p.out, kChunkBytes);
  const int chunk_blocks = (p.hidden_size / kChunkValues + kThreads - 1) / kThreads;
  checks.in_range("num_rows * hidden_size / 1024", p.num_rows * chunk_blocks, 1, INT_MAX);
  launch_kernel(gather_kernel, dim3(static_cast<unsigned>(p.num_rows * chunk_blocks)),
                dim3(kThreads), 0, stream, p, chunk_blocks);
}

}  // namespace glmoe::cuda
