// Types of numbers in device memory.
#pragma once

#include <cstddef>

namespace glmoe::cuda {

enum class ElementType { kF32, kBf16, kF16 };

constexpr size_t element_size(ElementType type) { return type == ElementType::kF32 ? 4 : 2; }

constexpr const char* element_name(ElementType type) {
  switch (type) {
    case ElementType::kF32: return "float32";
    case ElementType::kBf16: return "bfloat16";
    default: return "float16";
  }
}

}  // namespace glmoe::cuda
