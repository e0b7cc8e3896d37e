// Eight values a thread in accesses of 16 bytes, whatever their type in memory; F32 in registers.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace glmoe::cuda {

// Values in a chunk. Rows are whole chunks, so every chunk is 16-byte aligned when its row is.
inline constexpr int kChunk = 8;

struct alignas(16) Bf16Chunk {
  __nv_bfloat162 pairs[kChunk / 2];
};

__device__ inline void load_chunk(const float* from, float (&values)[kChunk]) {
  const float4 low = reinterpret_cast<const float4*>(from)[0];
  const float4 high = reinterpret_cast<const float4*>(from)[1];
  values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
  values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
}

__device__ inline void load_chunk(const __nv_bfloat16* from, float (&values)[kChunk]) {
  const Bf16Chunk chunk = *reinterpret_cast<const Bf16Chunk*>(from);
#pragma unroll
  for (int i = 0; i < kChunk / 2; ++i) {
    const float2 pair = __bfloat1622float2(chunk.pairs[i]);
    values[2 * i] = pair.x;
    values[2 * i + 1] = pair.y;
  }
}

__device__ inline void store_chunk(float* to, const float (&values)[kChunk]) {
  reinterpret_cast<float4*>(to)[0] = make_float4(values[0], values[1], values[2], values[3]);
  reinterpret_cast<float4*>(to)[1] = make_float4(values[4], values[5], values[6], values[7]);
}

// Rounds to nearest, ties to even.
__device__ inline void store_chunk(__nv_bfloat16* to, const float (&values)[kChunk]) {
  Bf16Chunk chunk;
#pragma unroll
  for (int i = 0; i < kChunk / 2; ++i) {
    chunk.pairs[i] = __floats2bfloat162_rn(values[2 * i], values[2 * i + 1]);
  }
  *reinterpret_cast<Bf16Chunk*>(to) = chunk;
}

// The value as memory of type T will hold it.
template <class T>
__device__ inline float rounded_to(float value) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return value;
  } else {
    return __bfloat162float(__float2bfloat16_rn(value));
  }
}

}  // namespace glmoe::cuda
