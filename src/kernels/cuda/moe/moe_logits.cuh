// The router's logits on tensor cores as exact as F32 has them. An F32 number is the sum of three
// BF16 numbers without remainder, so a product of two is that of six pairs of them: the three pairs
// left out are below a quarter of the last bit. Only the sums round. They are made in one order
// whatever the number of tokens: segments of 64 columns on the tensor cores, from zero each; 8
// segments one after the other in F32 make a group; then the groups one after the other.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace glmoe::cuda {

inline constexpr int kSegment = 64;
inline constexpr int kSegmentsPerGroup = 8;
inline constexpr int kGroup = kSegment * kSegmentsPerGroup;
inline constexpr int kStep = 16;  // columns of one matrix instruction
inline constexpr int kStepsPerSegment = kSegment / kStep;
inline constexpr int kTerms = 3;

// Terms of two values, each pair in a register; of a normal F32 nothing is left over.
__device__ inline void split(float2 values, uint32_t (&terms)[kTerms]) {
#pragma unroll
  for (int t = 0; t < kTerms; ++t) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(values.x, values.y);
    terms[t] = *reinterpret_cast<const uint32_t*>(&pair);
    // A BF16 is the upper half of an F32.
    values.x -= __uint_as_float(terms[t] << 16);
    values.y -= __uint_as_float(terms[t] & 0xffff0000u);
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
// Four pairs of activations: row and row + 8 of the first columns, then of the others.
using ActivationPairs = float2[4];

// A lane's activations as [term][pair].
using SplitActivations = uint32_t[kTerms][4];

__device__ inline void split_activations(const ActivationPairs& pairs, SplitActivations& a) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    uint32_t terms[kTerms];
    split(pairs[i], terms);
#pragma unroll
    for (int t = 0; t < kTerms; ++t) a[t][i] = terms[t];
  }
}

// The terms of a lane's weights: of the first two columns, and of the others.
struct SplitWeight {
  uint32_t low[kTerms], high[kTerms];
};

__device__ inline SplitWeight split_weight(float2 low, float2 high) {
  SplitWeight b;
  split(low, b.low);
  split(high, b.high);
  return b;
}

// f(activation's term, weight's term) for the pairs that count, the smallest products first.
template <class F>
__device__ inline void for_term_pairs(F f) {
#pragma unroll
  for (int sum = kTerms - 1; sum >= 0; --sum) {
#pragma unroll
    for (int t = 0; t <= sum; ++t) f(t, sum - t);
  }
}

}  // namespace glmoe::cuda
