// The router's logits on tensor cores as exact as F32 has them. An F32 weight is the sum of three
// BF16 numbers and an F16 activation of two, without remainder, so every product is exact and only
// the sums round. They are made in one order whatever the number of tokens: segments of 64 columns
// on the tensor cores, from zero each; 8 segments one after the other in F32 make a group; then the
// groups one after the other.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace glmoe::cuda {

inline constexpr int kSegment = 64;
inline constexpr int kSegmentsPerGroup = 8;
inline constexpr int kGroup = kSegment * kSegmentsPerGroup;
inline constexpr int kStep = 16;  // columns of one matrix instruction
inline constexpr int kStepsPerSegment = kSegment / kStep;
inline constexpr int kWeightTerms = 3;

template <class X>
inline constexpr int kActivationTerms = sizeof(X) == 0 ? 0 : 1;
template <>
inline constexpr int kActivationTerms<__half> = 2;

// Terms of two values, each pair in a register. With three terms of a normal F32 (two of an F16)
// nothing is left over.
template <int kTerms>
__device__ inline void split(float x, float y, uint32_t (&terms)[kTerms]) {
#pragma unroll
  for (int t = 0; t < kTerms; ++t) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(x, y);
    terms[t] = *reinterpret_cast<const uint32_t*>(&pair);
    // A BF16 is the upper half of an F32.
    x -= __uint_as_float(terms[t] << 16);
    y -= __uint_as_float(terms[t] & 0xffff0000u);
  }
}

// c += a b for a of 16 x 16 and b of 16 x 8.
__device__ inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// What a lane has of the instruction's operands: of a, rows lane / 4 and lane / 4 + 8; of the
// weights, row lane / 4; of the 16 columns 2 * (lane % 4), the next one, and those 8 further on.
// Four registers of two activations each: row and row + 8 of the first columns, then of the others.
using ActivationPairs = uint32_t[4];

// The activations' terms.
template <class X>
__device__ inline void split_activations(const ActivationPairs& pairs,
                                         uint32_t (&a)[kActivationTerms<X>][4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (kActivationTerms<X> == 1) {
      a[0][i] = pairs[i];
    } else {
      const float2 pair = __half22float2(*reinterpret_cast<const __half2*>(&pairs[i]));
      uint32_t terms[kActivationTerms<X>];
      split(pair.x, pair.y, terms);
#pragma unroll
      for (int t = 0; t < kActivationTerms<X>; ++t) a[t][i] = terms[t];
    }
  }
}

// The terms of a lane's weights: of the first two columns, and of the others.
struct SplitWeight {
  uint32_t low[kWeightTerms], high[kWeightTerms];
};

__device__ inline SplitWeight split_weight(float2 low, float2 high) {
  SplitWeight b;
  split(low.x, low.y, b.low);
  split(high.x, high.y, b.high);
  return b;
}

// One step's products of one part of 16 rows by 8 experts; the smallest terms first.
template <class X>
__device__ inline void multiply_step(float (&c)[4], const uint32_t (&a)[kActivationTerms<X>][4],
                                     const SplitWeight& b) {
#pragma unroll
  for (int w = kWeightTerms - 1; w >= 0; --w) {
#pragma unroll
    for (int t = kActivationTerms<X> - 1; t >= 0; --t) multiply(c, a[t], b.low[w], b.high[w]);
  }
}

}  // namespace glmoe::cuda
