// Shape checks that open every op: a wrong shape is our own mistake, and its message names the op,
// the tensor, the dimension, what was wanted and what was found.
#pragma once

#include <cstdint>
#include <span>

#include "base/check.h"
#include "tensor/tensor.h"

namespace glmoe::ops_internal {

inline void check_dim(const char* op, const char* what, int64_t found, int64_t wanted) {
  GLMOE_CHECK(found == wanted, "{}: {}: wanted {}, found {}", op, what, wanted, found);
}

// `view` is a [rows, cols] matrix of `dtype`.
inline void check_matrix(const char* op, const char* name, const TensorView& view, DType dtype,
                         int64_t rows, int64_t cols) {
  GLMOE_CHECK(view.dtype == dtype, "{}: type of {}: wanted {}, found {}", op, name,
              dtype_name(dtype), dtype_name(view.dtype));
  GLMOE_CHECK(view.shape.rank() == 2, "{}: {}: wanted a matrix, found the shape {}", op, name,
              view.shape.to_string());
  GLMOE_CHECK(view.shape[0] == rows && view.shape[1] == cols,
              "{}: shape of {}: wanted [{}, {}], found {}", op, name, rows, cols,
              view.shape.to_string());
  GLMOE_CHECK(!view.empty() || rows * cols == 0, "{}: {} has no memory", op, name);
}

// A vector that may be left out.
template <class T>
void check_optional(const char* op, const char* name, std::span<const T> values, int64_t wanted) {
  if (!values.empty()) check_dim(op, name, static_cast<int64_t>(values.size()), wanted);
}

inline bool is_float_kind(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

}  // namespace glmoe::ops_internal
