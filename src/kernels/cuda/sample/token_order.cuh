// The arithmetic that decides a token, operation for operation as the host's sampler does it. Every
// float operation is an intrinsic that the compiler may not contract to a fused one.
#pragma once

#include <cfloat>
#include <climits>
#include <cstdint>

namespace glmoe::cuda {

inline constexpr float kGreedyBelow = 1e-5f;  // as the host's sampler
inline constexpr int kVocabBlock = 256;       // logits in a block: the host's LogitRow::kBlock

__device__ inline float minus_infinity() { return __int_as_float(0xff800000); }
__device__ inline float plus_infinity() { return __int_as_float(0x7f800000); }

// A token in the order of sampling: higher logit first, lower id on ties.
struct Candidate {
  float logit;
  int32_t id;
  __device__ bool before(const Candidate& other) const {
    return (logit > other.logit) | ((logit == other.logit) & (id < other.id));  // no branches
  }
};

// After every token with a logit above -infinity, before all others.
__device__ inline Candidate all_tokens() { return {-FLT_MAX, INT_MAX}; }

// Higher for a higher logit, equal for equal ones (-0 is +0); for anything but NaN.
__device__ inline uint32_t order_key(float logit) {
  const uint32_t bits = __float_as_uint(__fadd_rn(logit, 0.0f));
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ inline float logit_of_key(uint32_t key) {
  return __uint_as_float((key & 0x80000000u) != 0 ? key ^ 0x80000000u : ~key);
}

// The higher; NaN where one is NaN, unlike fmaxf.
__device__ inline float max_or_nan(float a, float b) {
  float highest;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(highest) : "f"(a), "f"(b));
  return highest;
}

// The host's exp_nonpositive: the same bits from fewer instructions.
__device__ inline float exp_nonpositive(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const float rounded = __fadd_rn(__fmul_rn(x, 1.44269504f), kRound);
  const float n = __fsub_rn(rounded, kRound);
  // The first product is exact, so that a fused operation rounds as two do.
  const float r = __fsub_rn(__fmaf_rn(n, -0.693359375f, x), __fmul_rn(n, -2.12194440e-4f));
  float p = 1.0f / 720.0f;
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 120.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 24.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f / 6.0f);
  p = __fadd_rn(__fmul_rn(p, r), 0.5f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f);
  p = __fadd_rn(__fmul_rn(p, r), 1.0f);
  // The low bits of `rounded` are n; 2^n.
  const float power = __int_as_float((__float_as_int(rounded) << 23) + 0x3f800000);
  // A mask, because the compiler makes a choice a branch, which keeps tokens from overlapping.
  const int keep = -static_cast<int>(x >= -87.0f);
  return __int_as_float(__float_as_int(__fmul_rn(p, power)) & keep);
}

// A token's unnormalised probability beside the best one's.
__device__ inline float token_weight(float logit, float best, float inverse_temperature) {
  return exp_nonpositive(__fmul_rn(__fsub_rn(logit, best), inverse_temperature));
}

__device__ inline uint64_t mix64(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// The host's random_uniform: in [0, 1), a function of the three numbers alone.
__device__ inline double random_uniform(uint64_t seed, uint64_t stream, uint64_t counter) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;
  const uint64_t bits =
      mix64(mix64(mix64(seed + kGolden) + stream * kGolden + 1) + counter * kGolden + 2);
  return __dmul_rn(static_cast<double>(bits >> 11), 0x1.0p-53);
}

}  // namespace glmoe::cuda
