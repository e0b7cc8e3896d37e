#include "kernels/cuda/rope/rope_kv_write.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <climits>

#include "kernels/cuda/attention/attention_checks.h"
#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/vector_io.cuh"

namespace glmoe::cuda {
namespace {

constexpr const char* kOp = "rope_kv_write";
constexpr int kHeadDim = 128;
constexpr int kLanes = kHeadDim / kChunk;  // that share a head, a chunk of 8 values each
constexpr int kThreads = 256;
constexpr int kHeadsAtOnce = kThreads / kLanes;
// Rows from which a block takes a whole row: below, more blocks shorten the time of a launch.
constexpr int64_t kManyRows = 512;
constexpr int kManyHeads = 4;  // then of a thread under way together

// The sum over the lanes of a head, in every one of them.
__device__ float head_sum(float value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  }
  return value;
}

// Whether head `index` has something to do in this lane: without a norm, what lies behind the
// rotation stays as it is in q.
__device__ bool is_active(const RopeKvWriteParams& p, int index, bool in_rotation) {
  return index < p.heads.num_heads + 2 * p.heads.num_kv_heads &&
         (index >= p.heads.num_heads || p.q_norm != nullptr || in_rotation);
}

// RMSNorm of the head that the lanes hold, in those where `gamma` is given. All lanes call it.
__device__ void normalize(float (&values)[kChunk], const float* gamma, float eps) {
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kChunk; ++i) squares += values[i] * values[i];
  squares = head_sum(squares);
  if (gamma == nullptr) return;
  const float scale = 1.0f / sqrtf(squares / kHeadDim + eps);
  float weights[kChunk];
  load_chunk(gamma, weights);
#pragma unroll
  for (int i = 0; i < kChunk; ++i) values[i] *= scale * weights[i];
}

// A block takes heads blockIdx.y * kHeadsAtOnce + (its 16 groups of lanes), then those
// gridDim.y * kHeadsAtOnce on, kHeadsPerThread of them under way together. The two halves of a pair
// lie R/16 lanes apart.
template <class T, int kHeadsPerThread>
__global__ void __launch_bounds__(kThreads) rope_kv_write_kernel(const RopeKvWriteParams p) {
  const int lane = threadIdx.x % kLanes;
  const int num_q = p.heads.num_heads;
  const int num_kv = p.heads.num_kv_heads;
  const int num_all = num_q + 2 * num_kv;
  const int half_lanes = p.rotary_dim / 2 / kChunk;  // lanes of one half of the rotated part
  const bool in_rotation = lane < 2 * half_lanes;
  const bool second = lane >= half_lanes;
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t row = blockIdx.x;
  T* qkv = static_cast<T*>(p.qkv) + row * num_all * kHeadDim + lane * kChunk;
  const int in_block = threadIdx.x / kLanes;
  const int step = gridDim.y * kHeadsAtOnce;
  // Whole warps stay in the loop, so that all lanes take part in the exchanges.
  for (int first = blockIdx.y * kHeadsAtOnce; first < num_all; first += kHeadsPerThread * step) {
    PairChunk<T> loaded[kHeadsPerThread];
#pragma unroll
    for (int h = 0; h < kHeadsPerThread; ++h) {
      const int head = first + in_block + h * step;
      const bool active = is_active(p, head, in_rotation);
      loaded[h] =
          active ? *reinterpret_cast<const PairChunk<T>*>(qkv + head * kHeadDim) : PairChunk<T>{};
    }
    // Only now, so that all the loads are under way together.
    const int32_t slot = p.slots[row];
    if (slot < 0) return;
    float cosines[kChunk] = {}, sines[kChunk] = {};
    if (in_rotation) {
      const float* table = p.rope_table + static_cast<int64_t>(p.positions[row]) * p.rotary_dim;
      const int at = (second ? lane - half_lanes : lane) * kChunk;
      load_chunk(table + at, cosines);
      load_chunk(table + p.rotary_dim / 2 + at, sines);
#pragma unroll
      for (int i = 0; i < kChunk; ++i) sines[i] = second ? sines[i] : -sines[i];
    }
    const int page = p.kv.tokens_per_block;
    T* cache = static_cast<T*>(p.kv.blocks) + lane * kChunk +
               (static_cast<int64_t>(slot / page) * 2 * num_kv * page + slot % page) * kHeadDim;
#pragma unroll
    for (int h = 0; h < kHeadsPerThread; ++h) {
      const int head = first + in_block + h * step;
      const bool is_q = head < num_q;
      const bool is_k = !is_q && head < num_q + num_kv;
      const float* gamma = is_q ? p.q_norm : is_k ? p.k_norm : nullptr;
      float values[kChunk];
#pragma unroll
      for (int i = 0; i < kChunk / 2; ++i) {
        const float2 pair = PairOf<T>::widen(loaded[h].pairs[i]);
        values[2 * i] = pair.x;
        values[2 * i + 1] = pair.y;
      }
      normalize(values, gamma == nullptr ? nullptr : gamma + lane * kChunk, p.eps);
      const int partner = second ? -half_lanes : half_lanes;
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        // Lanes outside the rotation ask for any other and leave it unused.
        const float value = values[i];
        const float other = __shfl_sync(0xffffffffu, value, lane + partner, kLanes);
        if (in_rotation && (is_q || is_k)) values[i] = value * cosines[i] + other * sines[i];
      }
      if (!is_active(p, head, in_rotation)) continue;
      if (is_q) {
        store_chunk(qkv + head * kHeadDim, values);
      } else {
        // Heads of K, then of V: the planes of a block lie in that order too.
        store_chunk(cache + static_cast<int64_t>(head - num_q) * page * kHeadDim, values);
      }
    }
  }
}

void check_params(const RopeKvWriteParams& p) {
  check_attention_shape(kOp, p.type, p.heads, p.kv);
  if (p.num_rows < 0 || p.num_rows > INT_MAX) {
    refuse_attention(kOp, "num_rows is " + std::to_string(p.num_rows) + ", wanted 0 to 2147483647");
  }
  if (p.rotary_dim < 16 || p.rotary_dim % 16 != 0 || p.rotary_dim > p.heads.head_dim) {
    refuse_attention(kOp, "rotary_dim is " + std::to_string(p.rotary_dim) +
                              ", wanted a multiple of 16 from 16 to head_dim " +
                              std::to_string(p.heads.head_dim));
  }
  if (!(p.eps >= 0.0f)) {
    refuse_attention(kOp, "eps is " + std::to_string(p.eps) + ", wanted 0 or more");
  }
  check_attention_pointer(kOp, "qkv", p.qkv, 16);
  check_attention_pointer(kOp, "rope_table", p.rope_table, 16);
  check_attention_pointer(kOp, "positions", p.positions, 4);
  check_attention_pointer(kOp, "slots", p.slots, 4);
  if (p.q_norm != nullptr) check_attention_pointer(kOp, "q_norm", p.q_norm, 16);
  if (p.k_norm != nullptr) check_attention_pointer(kOp, "k_norm", p.k_norm, 16);
}

}  // namespace

void launch_rope_kv_write(const RopeKvWriteParams& params, cudaStream_t stream) {
  if (params.num_rows == 0) return;
  check_params(params);
  const int num_all = params.heads.num_heads + 2 * params.heads.num_kv_heads;
  const bool many = params.num_rows >= kManyRows;
  const int parts = many ? 1 : (num_all + kHeadsAtOnce - 1) / kHeadsAtOnce;
  const dim3 grid(static_cast<unsigned>(params.num_rows), static_cast<unsigned>(parts));
  const auto launch = [&](auto kernel) {
    launch_kernel(kernel, grid, kThreads, 0, stream, params);
  };
  if (params.type == ElementType::kBf16) {
    many ? launch(rope_kv_write_kernel<__nv_bfloat16, kManyHeads>)
         : launch(rope_kv_write_kernel<__nv_bfloat16, 1>);
  } else {
    many ? launch(rope_kv_write_kernel<__half, kManyHeads>)
         : launch(rope_kv_write_kernel<__half, 1>);
  }
}

}  // namespace glmoe::cuda
