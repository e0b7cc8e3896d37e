// Element types, as safetensors and the engine folder name them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace glmoe {

enum class DType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool
};

size_t dtype_size(DType dtype);            // bytes
std::string_view dtype_name(DType dtype);  // "BF16", "F32", ... (safetensors' spelling)
// Both spellings, "BF16" and "bfloat16"; false where unknown.
bool parse_dtype(std::string_view name, DType& dtype);
// "bfloat16", "float16", "float32": as flags and config.json spell the computing types.
std::string_view dtype_long_name(DType dtype);

// Round to nearest even; NaN stays NaN.
inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline float bf16_to_f32(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}
uint16_t f32_to_f16(float value);  // round to nearest even, overflow to infinity
float f16_to_f32(uint16_t value);

// Copies `count` elements with conversion between F32, F16 and BF16 (the same type: a plain copy).
// F64 may be read. With count 0 the pointers may be null. Throws kUnsupported for other pairs.
void convert_elements(const void* source, DType from, void* target, DType to, size_t count);

}  // namespace glmoe
