#include "kernels/cuda/rope/rope_kv_write.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <climits>
#include <type_traits>

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
// rotation stays as it is in q, if it is there already.
template <class T, class In>
__device__ bool is_active(const RopeKvWriteParams& p, int index, bool in_rotation) {
  return index < p.heads.num_heads + 2 * p.heads.num_kv_heads &&
         (!std::is_same_v<T, In> || index >= p.heads.num_heads || p.q_norm != nullptr ||
          in_rotation);
}

// A chunk as it lies in memory, so that many can be on their way in few registers.
template <class In>
struct LoadedChunk {
  PairChunk<In> chunk{};
  __device__ void load(const In* from) { chunk = *reinterpret_cast<const PairChunk<In>*>(from); }
  __device__ void widen(float (&values)[kChunk]) const {
#pragma unroll
    for (int i = 0; i < kChunk / 2; ++i) {
      const float2 pair = PairOf<In>::widen(chunk.pairs[i]);
      values[2 * i] = pair.x;
      values[2 * i + 1] = pair.y;
    }
  }
};
template <>
struct LoadedChunk<float> {
  float chunk[kChunk] = {};
  __device__ void load(const float* from) { load_chunk(from, chunk); }
  __device__ void widen(float (&values)[kChunk]) const {
#pragma unroll
    for (int i = 0; i < kChunk; ++i) values[i] = chunk[i];
  }
};

template <class T, class In>
__device__ const In* qkv_input(const RopeKvWriteParams& p) {
  if constexpr (std::is_same_v<T, In>) {
    return static_cast<const T*>(p.qkv);
  } else {
    return p.wide_qkv;
  }
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
template <class T, class In, int kHeadsPerThread>
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
  const int64_t offset = row * num_all * kHeadDim + lane * kChunk;
  T* qkv = static_cast<T*>(p.qkv) + offset;
  const In* input = qkv_input<T, In>(p) + offset;
  const int in_block = threadIdx.x / kLanes;
  const int step = gridDim.y * kHeadsAtOnce;
  // Whole warps stay in the loop, so that all lanes take part in the exchanges.
  for (int first = blockIdx.y * kHeadsAtOnce; first < num_all; first += kHeadsPerThread * step) {
    LoadedChunk<In> loaded[kHeadsPerThread];
#pragma unroll
    for (int h = 0; h < kHeadsPerThread; ++h) {
      const int head = first + in_block + h * step;
      if (is_active<T, In>(p, head, in_rotation)) loaded[h].load(input + head * kHeadDim);
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
      loaded[h].widen(values);
      if (!std::is_same_v<T, In> && p.bias != nullptr && head < num_all) {
        float added[kChunk];
        load_chunk(p.bias + head * kHeadDim + lane * kChunk, added);
#pragma unroll
        for (int i = 0; i < kChunk; ++i) values[i] += added[i];
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
      if (!is_active<T, In>(p, head, in_rotation)) continue;
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
  if (p.wide_qkv != nullptr) check_attention_pointer(kOp, "wide_qkv", p.wide_qkv, 16);
  if (p.bias != nullptr) check_attention_pointer(kOp, "bias", p.bias, 16);
  if (p.bias != nullptr && p.wide_qkv == nullptr) {
    refuse_attention(kOp, "bias is given without wide_qkv: it belongs to it");
  }
  check_attention_pointer(kOp, "rope_table", p.rope_table, 16);
  check_attention_pointer(kOp, "positions", p.positions, 4);
  check_attention_pointer(kOp, "slots", p.slots, 4);
  if (p.q_norm != nullptr) check_attention_pointer(kOp, "q_norm", p.q_norm, 16);
  if (p.k_norm != nullptr) check_attention_pointer(kOp, "k_norm", p.k_norm, 16);
}

template <class T, class In>
void launch_from(const RopeKvWriteParams& params, cudaStream_t stream) {
  const int num_all = params.heads.num_heads + 2 * params.heads.num_kv_heads;
  const bool many = params.num_rows >= kManyRows;
  const int parts = many ? 1 : (num_all + kHeadsAtOnce - 1) / kHeadsAtOnce;
  const dim3 grid(static_cast<unsigned>(params.num_rows), static_cast<unsigned>(parts));
  launch_kernel(many ? rope_kv_write_kernel<T, In, kManyHeads> : rope_kv_write_kernel<T, In, 1>,
                grid, kThreads, 0, stream, params);
}

template <class T>
void launch(const RopeKvWriteParams& params, cudaStream_t stream) {
  if (params.wide_qkv != nullptr) {
    launch_from<T, float>(params, stream);
  } else {
    launch_from<T, T>(params, stream);
  }
}

}  // namespace

void launch_rope_kv_write(const RopeKvWriteParams& params, cudaStream_t stream) {
  if (params.num_rows == 0) return;
  check_params(params);
  if (params.type == ElementType::kBf16) {
    launch<__nv_bfloat16>(params, stream);
  } else {
    launch<__half>(params, stream);
  }
}

}  // namespace glmoe::cuda
