#include "kernels/cuda/attention/attention_generic.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <string>

#include "kernels/cuda/common/block_sum.cuh"
#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/vector_io.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kWarpsPerBlock = 4;
constexpr int kValues = kMaxGenericHeadDim / kWarp;  // of a head in a lane: d = lane + 32 i

template <class T>
__device__ T* cache_row(const PagedKv& kv, const AttentionHeads& heads, int64_t slot, int head,
                        bool value) {
  const int64_t block = slot / kv.tokens_per_block;
  const int64_t offset = slot % kv.tokens_per_block;
  const int64_t row = (block * 2 + (value ? 1 : 0)) * heads.num_kv_heads + head;
  return static_cast<T*>(kv.blocks) + (row * kv.tokens_per_block + offset) * heads.head_dim;
}

// A warp takes one head of one row: q heads in place, then k and v heads into the cache.
template <class T>
__global__ void rope_kv_write_generic_kernel(const RopeKvWriteParams p) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const AttentionHeads& heads = p.heads;
  const int head = blockIdx.x * kWarpsPerBlock + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int64_t row = blockIdx.y;
  const int64_t slot = p.slots[row];
  if (head >= heads.num_heads + 2 * heads.num_kv_heads || slot < 0) return;
  const int64_t at = row * heads.qkv_width() + head * heads.head_dim;
  T* narrow = static_cast<T*>(p.qkv) + at;
  const auto input = [&](int d) {
    if (p.wide_qkv == nullptr) return to_float(narrow[d]);
    return p.wide_qkv[at + d] + (p.bias == nullptr ? 0.0f : p.bias[head * heads.head_dim + d]);
  };
  const bool is_query = head < heads.num_heads;
  const bool is_value = head >= heads.num_heads + heads.num_kv_heads;
  T* to = narrow;
  if (!is_query) {
    const int kv_head = (head - heads.num_heads) % heads.num_kv_heads;
    to = cache_row<T>(p.kv, heads, slot, kv_head, is_value);
  }
  if (is_value) {
    for (int d = lane; d < heads.head_dim; d += kWarp) to[d] = from_float<T>(input(d));
    return;
  }
  const float* gamma = is_query ? p.q_norm : p.k_norm;
  float scale = 1.0f;
  if (gamma != nullptr) {
    float squares = 0.0f;
    for (int d = lane; d < heads.head_dim; d += kWarp) {
      squares += input(d) * input(d);
    }
    scale = rsqrtf(warp_sum(squares) / static_cast<float>(heads.head_dim) + p.eps);
  }
  const auto normed = [&](int d) {
    return input(d) * scale * (gamma != nullptr ? gamma[d] : 1.0f);
  };
  const float* table = p.rope_table + static_cast<int64_t>(p.positions[row]) * p.rotary_dim;
  const int half = p.rotary_dim / 2;
  // Values are read before any is written: q is rotated in place.
  float values[kValues];
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    const int d = lane + i * kWarp;
    if (d >= heads.head_dim) continue;
    values[i] = normed(d);
    if (d < half) values[i] = values[i] * table[d] - normed(d + half) * table[half + d];
    if (d >= half && d < p.rotary_dim) {
      values[i] = values[i] * table[d - half] + normed(d - half) * table[d];
    }
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    const int d = lane + i * kWarp;
    if (d < heads.head_dim) to[d] = from_float<T>(values[i]);
  }
}

// A warp takes one query head of one row, a position at a time.
template <class T>
__global__ void attention_generic_kernel(const AttentionPrefillParams p, int64_t out_stride) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const AttentionHeads& heads = p.heads;
  const int head = blockIdx.x * kWarpsPerBlock + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int s = blockIdx.z;
  const int num_rows = p.num_rows[s];
  const int local = blockIdx.y;
  if (head >= heads.num_heads || local >= num_rows) return;
  const int64_t row = p.row_begin[s] + local;
  const int last = p.kv_len[s] - num_rows + local;  // the row's own position
  const int32_t* table = p.block_tables + s * p.block_table_stride;
  const T* query = static_cast<const T*>(p.qkv) + row * heads.qkv_width() + head * heads.head_dim;
  const float scale = rsqrtf(static_cast<float>(heads.head_dim));
  float q[kValues], sum[kValues];
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    const int d = lane + i * kWarp;
    q[i] = d < heads.head_dim ? to_float(query[d]) * scale : 0.0f;
    sum[i] = 0.0f;
  }
  float highest = -INFINITY;
  float weights = 0.0f;
  for (int j = 0; j <= last; ++j) {
    const int64_t slot =
        static_cast<int64_t>(table[j / p.kv.tokens_per_block]) * p.kv.tokens_per_block +
        j % p.kv.tokens_per_block;
    const T* key = cache_row<T>(p.kv, heads, slot, head / heads.group(), false);
    const T* value = cache_row<T>(p.kv, heads, slot, head / heads.group(), true);
    float dot = 0.0f;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const int d = lane + i * kWarp;
      if (d < heads.head_dim) dot += q[i] * to_float(key[d]);
    }
    dot = warp_sum(dot);
    const float higher = fmaxf(highest, dot);
    const float shrink = expf(highest - higher);
    const float weight = expf(dot - higher);
    highest = higher;
    weights = weights * shrink + weight;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const int d = lane + i * kWarp;
      if (d < heads.head_dim) sum[i] = sum[i] * shrink + weight * to_float(value[d]);
    }
  }
  T* out = static_cast<T*>(p.out) + row * out_stride + head * heads.head_dim;
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    const int d = lane + i * kWarp;
    if (d < heads.head_dim) out[d] = from_float<T>(sum[i] / weights);
  }
}

void check_heads(const char* op, const AttentionHeads& heads, ElementType type) {
  if (heads.head_dim < 1 || heads.head_dim > kMaxGenericHeadDim || heads.num_kv_heads < 1 ||
      heads.num_heads % heads.num_kv_heads != 0) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string(op) + ": " + std::to_string(heads.num_heads) + " heads over " +
                    std::to_string(heads.num_kv_heads) + " KV heads of size " +
                    std::to_string(heads.head_dim) +
                    ": a multiple, and a size of 1 to 256, are wanted");
  }
  if (type == ElementType::kF32) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string(op) + ": type is float32: bfloat16 or float16 is wanted");
  }
}

constexpr unsigned blocks_of_warps(int num_heads) {
  return static_cast<unsigned>((num_heads + kWarpsPerBlock - 1) / kWarpsPerBlock);
}

}  // namespace

void launch_rope_kv_write_generic(const RopeKvWriteParams& p, cudaStream_t stream) {
  check_heads("rope_kv_write_generic", p.heads, p.type);
  if (p.num_rows == 0) return;
  const dim3 grid(blocks_of_warps(p.heads.num_heads + 2 * p.heads.num_kv_heads),
                  static_cast<unsigned>(p.num_rows));
  const dim3 block(kWarpsPerBlock * kWarp);
  if (p.type == ElementType::kBf16) {
    launch_kernel(rope_kv_write_generic_kernel<__nv_bfloat16>, grid, block, 0, stream, p);
  } else {
    launch_kernel(rope_kv_write_generic_kernel<__half>, grid, block, 0, stream, p);
  }
}

void launch_attention_generic(const AttentionPrefillParams& p, int64_t out_stride,
                              cudaStream_t stream) {
  check_heads("attention_generic", p.heads, p.type);
  if (p.num_sequences == 0 || p.max_num_rows == 0) return;
  const dim3 grid(blocks_of_warps(p.heads.num_heads), static_cast<unsigned>(p.max_num_rows),
                  static_cast<unsigned>(p.num_sequences));
  const dim3 block(kWarpsPerBlock * kWarp);
  if (p.type == ElementType::kBf16) {
    launch_kernel(attention_generic_kernel<__nv_bfloat16>, grid, block, 0, stream, p, out_stride);
  } else {
    launch_kernel(attention_generic_kernel<__half>, grid, block, 0, stream, p, out_stride);
  }
}

}  // namespace glmoe::cuda
