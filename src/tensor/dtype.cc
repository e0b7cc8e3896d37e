#include "tensor/dtype.h"

#include "base/check.h"
#include "base/error.h"

namespace glmoe {
namespace {

struct DTypeInfo {
  DType dtype;
  size_t size;
  std::string_view name;
  std::string_view long_name;
};

constexpr DTypeInfo kInfo[] = {
    {DType::kF64, 8, "F64", "float64"},
    {DType::kF32, 4, "F32", "float32"},
    {DType::kF16, 2, "F16", "float16"},
    {DType::kBF16, 2, "BF16", "bfloat16"},
    {DType::kF8E4M3, 1, "F8_E4M3", "float8_e4m3fn"},
    {DType::kF8E5M2, 1, "F8_E5M2", "float8_e5m2"},
    {DType::kF8E8M0, 1, "F8_E8M0", "float8_e8m0"},
    {DType::kI64, 8, "I64", "int64"},
    {DType::kI32, 4, "I32", "int32"},
    {DType::kI16, 2, "I16", "int16"},
    {DType::kI8, 1, "I8", "int8"},
    {DType::kU64, 8, "U64", "uint64"},
    {DType::kU32, 4, "U32", "uint32"},
    {DType::kU16, 2, "U16", "uint16"},
    {DType::kU8, 1, "U8", "uint8"},
    {DType::kBool, 1, "BOOL", "bool"},
};

const DTypeInfo& info(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  GLMOE_CHECK_LT(index, std::size(kInfo));
  return kInfo[index];
}

}  // namespace

size_t dtype_size(DType dtype) { return info(dtype).size; }
std::string_view dtype_name(DType dtype) { return info(dtype).name; }
std::string_view dtype_long_name(DType dtype) { return info(dtype).long_name; }

bool parse_dtype(std::string_view name, DType& dtype) {
  for (const DTypeInfo& entry : kInfo) {
    if (name == entry.name || name == entry.long_name) {
      dtype = entry.dtype;
      return true;
    }
  }
  return false;
}

float f16_to_f32(uint16_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x8000u) << 16;
  const uint32_t rest = value & 0x7fffu;
  if (rest >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  // Scaling by 2^112 places the exponent and makes subnormals normal, exactly.
  const float magnitude = std::bit_cast<float>(rest << 13) * 0x1.0p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // at least 65520: rounds to infinity
  if (magnitude < 0x38800000u) {                        // below 2^-14: subnormal, in units of 2^-24
    const float scaled = std::bit_cast<float>(magnitude) + 0.5f;  // 0.5f has ulp 2^-24
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(scaled) - 0x3f000000u);
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return sign | static_cast<uint16_t>((rounded - 0x38000000u) >> 13);
}

void convert_elements(const void* source, DType from, void* target, DType to, size_t count) {
  if (from == to) {
    // memcpy may not be given null pointers, even for nothing.
    if (count > 0) std::memcpy(target, source, count * dtype_size(from));
    return;
  }
  const auto convert = [&](auto load, auto store) {
    for (size_t i = 0; i < count; ++i) store(i, load(i));
  };
  const auto with_load = [&](auto store) {
    const auto* f64 = static_cast<const double*>(source);
    const auto* f32 = static_cast<const float*>(source);
    const auto* u16 = static_cast<const uint16_t*>(source);
    switch (from) {
      case DType::kF64:
        return convert([f64](size_t i) { return static_cast<float>(f64[i]); }, store);
      case DType::kF32: return convert([f32](size_t i) { return f32[i]; }, store);
      case DType::kF16: return convert([u16](size_t i) { return f16_to_f32(u16[i]); }, store);
      case DType::kBF16: return convert([u16](size_t i) { return bf16_to_f32(u16[i]); }, store);
      default: break;
    }
    fail(ErrorCode::kUnsupported, "conversion from {} to {} is not supported", dtype_name(from),
         dtype_name(to));
  };
  auto* f32 = static_cast<float*>(target);
  auto* u16 = static_cast<uint16_t*>(target);
  switch (to) {
    case DType::kF32: return with_load([f32](size_t i, float v) { f32[i] = v; });
    case DType::kF16: return with_load([u16](size_t i, float v) { u16[i] = f32_to_f16(v); });
    case DType::kBF16: return with_load([u16](size_t i, float v) { u16[i] = f32_to_bf16(v); });
    default: break;
  }
  fail(ErrorCode::kUnsupported, "conversion from {} to {} is not supported", dtype_name(from),
       dtype_name(to));
}

}  // namespace glmoe
