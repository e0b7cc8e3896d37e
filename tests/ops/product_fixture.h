// Weights and tokens of random numbers for the tests of matrix products.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "ops/op_context.h"

namespace glmoe::testing {

// Owns a tensor of values around +-scale, exact in its type.
class RandomTensor {
 public:
  RandomTensor(DType dtype, const Shape& shape, uint64_t stream, float scale = 1.0f)
      : bytes_(static_cast<size_t>(shape.num_elements()) * dtype_size(dtype)),
        view_{bytes_.data(), dtype, shape} {
    std::vector<float> values(static_cast<size_t>(shape.num_elements()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = scale * static_cast<float>(2.0 * random_uniform(3, stream, i) - 1.0);
    }
    if (values.empty()) return;  // no tokens: there is no memory to convert
    convert_elements(values.data(), DType::kF32, bytes_.data(), dtype, values.size());
  }
  RandomTensor(const RandomTensor&) = delete;
  RandomTensor& operator=(const RandomTensor&) = delete;

  const TensorView& view() const { return view_; }
  QuantView weight() const { return {.codes = view_}; }
  // Rows [first, first + count) of a matrix.
  TensorView rows(int64_t first, int64_t count) const {
    const auto row_bytes = static_cast<size_t>(view_.shape[1]) * dtype_size(view_.dtype);
    return {view_.as<std::byte>() + static_cast<size_t>(first) * row_bytes, view_.dtype,
            Shape{count, view_.shape[1]}};
  }

 private:
  std::vector<std::byte> bytes_;
  TensorView view_;
};

inline RandomTensor tokens(int64_t num_tokens, int64_t width, float scale = 1.0f) {
  return {DType::kF32, Shape{num_tokens, width}, 77, scale};
}

// A matrix of F32 that begins as all `fill`.
struct Result {
  Result(int64_t rows, int64_t cols, float fill = -7.0f)
      : values(static_cast<size_t>(rows * cols), fill), shape{rows, cols} {}
  TensorView view() { return {values.data(), DType::kF32, shape}; }
  bool same_bits(const Result& other, int64_t other_row = 0) const {
    return std::memcmp(values.data(), other.values.data() + other_row * shape[1],
                       values.size() * sizeof(float)) == 0;
  }

  std::vector<float> values;
  Shape shape;
};

// A context with a team of its own.
struct Context {
  explicit Context(int num_threads, DType compute_dtype = DType::kF32)
      : team(num_threads), ctx{&team, &workspace, compute_dtype} {}
  ThreadTeam team;
  Workspace workspace;
  OpContext ctx;
};

// ||a - b|| / ||b||.
inline double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0, norm = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return norm == 0.0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

// Each sum of K products of F32 is within K roundings; a random walk of them stays far below.
inline double product_limit(int64_t k) { return 0x1p-24 * static_cast<double>(k + 8); }

}  // namespace glmoe::testing
