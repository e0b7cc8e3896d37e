// Counter-based random numbers (SplitMix64's mixer over seed, stream and counter): the n-th
// number of a stream depends only on (seed, stream, n), never on what was drawn elsewhere.
#pragma once

#include <cstdint>

namespace glmoe {

// SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection with full avalanche.
constexpr uint64_t mix64(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

constexpr uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t counter) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;
  return mix64(mix64(mix64(seed + kGolden) + stream * kGolden + 1) + counter * kGolden + 2);
}

// Uniform in [0, 1) with 53 random bits.
constexpr double random_uniform(uint64_t seed, uint64_t stream, uint64_t counter) {
  return static_cast<double>(random_bits(seed, stream, counter) >> 11) * 0x1.0p-53;
}

}  // namespace glmoe
