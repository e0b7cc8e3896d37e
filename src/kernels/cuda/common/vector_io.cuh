// Eight values a thread in accesses of 16 bytes, whatever their type in memory; F32 in registers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// Values in a chunk. Rows are whole chunks, so every chunk is 16-byte aligned when its row is.
inline constexpr int kChunk = 8;

// The vector type of two values, and both ways between it and F32.
template <class T>
struct PairOf;
template <>
struct PairOf<__nv_bfloat16> {
  using Type = __nv_bfloat162;
  __device__ static float2 widen(Type pair) { return __bfloat1622float2(pair); }
  __device__ static Type narrow(float x, float y) { return __floats2bfloat162_rn(x, y); }
};
template <>
struct PairOf<__half> {
  using Type = __half2;
  __device__ static float2 widen(Type pair) { return __half22float2(pair); }
  __device__ static Type narrow(float x, float y) { return __floats2half2_rn(x, y); }
};

template <class T>
struct alignas(16) PairChunk {
  typename PairOf<T>::Type pairs[kChunk / 2];
};

__device__ inline void load_chunk(const float* from, float (&values)[kChunk]) {
  const float4 low = reinterpret_cast<const float4*>(from)[0];
  const float4 high = reinterpret_cast<const float4*>(from)[1];
  values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
  values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
}

template <class T>
__device__ inline void load_chunk(const T* from, float (&values)[kChunk]) {
  const PairChunk<T> chunk = *reinterpret_cast<const PairChunk<T>*>(from);
#pragma unroll
  for (int i = 0; i < kChunk / 2; ++i) {
    const float2 pair = PairOf<T>::widen(chunk.pairs[i]);
    values[2 * i] = pair.x;
    values[2 * i + 1] = pair.y;
  }
}

__device__ inline void store_chunk(float* to, const float (&values)[kChunk]) {
  reinterpret_cast<float4*>(to)[0] = make_float4(values[0], values[1], values[2], values[3]);
  reinterpret_cast<float4*>(to)[1] = make_float4(values[4], values[5], values[6], values[7]);
}

// Rounds to nearest, ties to even.
template <class T>
__device__ inline void store_chunk(T* to, const float (&values)[kChunk]) {
  PairChunk<T> chunk;
#pragma unroll
  for (int i = 0; i < kChunk / 2; ++i) {
    chunk.pairs[i] = PairOf<T>::narrow(values[2 * i], values[2 * i + 1]);
  }
  *reinterpret_cast<PairChunk<T>*>(to) = chunk;
}

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float to_float(__half value) { return __half2float(value); }

// Rounds to nearest, ties to even.
template <class T>
__device__ inline T from_float(float value) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return value;
  } else {
    return static_cast<T>(value);
  }
}

// The value as memory of type T will hold it.
template <class T>
__device__ inline float rounded_to(float value) {
  return to_float(from_float<T>(value));
}

}  // namespace glmoe::cuda
