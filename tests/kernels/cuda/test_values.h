// Numbers for the tests on a GPU: host vectors of the types in device memory, and poison.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda_test {

template <class T>
constexpr cuda::ElementType kTypeOf = std::is_same_v<T, float>    ? cuda::ElementType::kF32
                                      : std::is_same_v<T, __half> ? cuda::ElementType::kF16
                                                                  : cuda::ElementType::kBf16;

template <class T>
T narrow(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(value);
  } else {
    return __float2bfloat16_rn(value);
  }
}

template <class T>
double widen(T value) {
  return static_cast<double>(static_cast<float>(value));
}

// Half a step of the type, relative: what rounding to it may cost.
template <class T>
constexpr double kHalfStep = std::is_same_v<T, float>    ? 0.0
                             : std::is_same_v<T, __half> ? 1.0 / 2048
                                                         : 1.0 / 256;

template <class T>
std::vector<T> normal_values(size_t size, float magnitude, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, magnitude);
  std::vector<T> values(size);
  for (T& value : values) value = narrow<T>(normal(generator));
  return values;
}

// Faster than normal_values, for large arrays: evenly between -magnitude and magnitude.
template <class T>
std::vector<T> uniform_values(size_t size, float magnitude, uint64_t seed) {
  std::vector<T> values(size);
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (T& value : values) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    const auto bits = static_cast<int32_t>(state >> 32);
    value = narrow<T>(magnitude * static_cast<float>(bits) * 0x1p-31f);
  }
  return values;
}

// Bytes that are a NaN in every floating-point type: an element that was not written shows.
template <class T>
void poison(const cuda::DeviceArray<T>& array) {
  GLMOE_CUDA(cudaMemset(array.data(), 0xff, array.num_bytes()));
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// "": the same; else the first difference.
template <class T>
std::string first_difference(const std::vector<T>& found, const std::vector<T>& wanted) {
  if (found.size() != wanted.size()) return "sizes differ";
  for (size_t i = 0; i < found.size(); ++i) {
    if (std::memcmp(&found[i], &wanted[i], sizeof(T)) == 0) continue;
    return "at " + std::to_string(i) + ": wanted " + std::to_string(widen(wanted[i])) + ", got " +
           std::to_string(widen(found[i]));
  }
  return "";
}

}  // namespace glmoe::cuda_test
