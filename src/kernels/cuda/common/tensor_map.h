// Descriptors of tensors in device memory for the copy engine.
#pragma once

#include <cuda.h>

#include <array>
#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// A three-dimensional tensor of 16-bit values, innermost dimension first; strides in elements of
// the two outer dimensions. Boxes have an innermost extent of 64 (128 bytes), swizzled over 128
// bytes; what a box reaches beyond the tensor reads as zero. `data` is 16-byte aligned, strides are
// multiples of 8. Throws kInternal where the driver refuses it, kUnavailable without a driver.
CUtensorMap make_tensor_map(const void* data, ElementType type, std::array<int64_t, 3> sizes,
                            std::array<int64_t, 2> strides, std::array<int, 3> box);
// The same with five dimensions, of which the innermost of a box is 64 again.
CUtensorMap make_tensor_map_5d(const void* data, ElementType type, std::array<int64_t, 5> sizes,
                               std::array<int64_t, 4> strides, std::array<int, 5> box);

}  // namespace glmoe::cuda
