// exp for x <= 0 in plain float operations, so that loops over the vocabulary become SIMD code.
#pragma once

#include <bit>
#include <cstdint>

namespace glmoe {

// Relative error below 3e-7 for -87 <= x <= 0; 0 below that (e^-87 = 1.6e-38).
// Range reduction x = n ln2 + r, |r| <= ln2 / 2, then the degree-6 Taylor polynomial with
// Horner's scheme: its remainder r^7 / 7! is below 1.3e-7 of the value.
inline float exp_nonpositive(float x) {
  constexpr float kLow = -87.0f;
  // All ones where x >= kLow. Masks, because comparisons become branches that keep loops scalar.
  const int32_t keep = ~(std::bit_cast<int32_t>(x - kLow) >> 31);
  const float y = std::bit_cast<float>(std::bit_cast<int32_t>(x) & keep);
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const float n = (y * 1.44269504f + kRound) - kRound;
  // ln2 in two parts, the first with few bits, so that n times it is exact.
  const float r = (y - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const float power = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  return std::bit_cast<float>(std::bit_cast<int32_t>(p * power) & keep);
}

}  // namespace glmoe
