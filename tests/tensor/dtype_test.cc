#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/error.h"

namespace glmoe {
namespace {

// The value of a 16-bit float from its definition: sign, exponent field, mantissa field.
double value_of(uint16_t bits, int mantissa_bits, int bias) {
  const int exponent_bits = 15 - mantissa_bits;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa != 0 ? std::nan("") : sign * INFINITY;
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

struct Format {
  int mantissa_bits;
  int bias;
  uint16_t infinity;
  uint16_t (*narrow)(float);
  float (*widen)(uint16_t);
};
uint16_t to_bf16(float value) { return f32_to_bf16(value); }
float from_bf16(uint16_t value) { return bf16_to_f32(value); }
const Format kFormats[] = {{10, 15, 0x7c00, f32_to_f16, f16_to_f32},
                           {7, 127, 0x7f80, to_bf16, from_bf16}};

TEST(DType, EverySixteenBitPatternWidensToItsValueAndComesBack) {
  for (const Format& format : kFormats) {
    for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
      const auto bits = static_cast<uint16_t>(pattern);
      const double exact = value_of(bits, format.mantissa_bits, format.bias);
      const float wide = format.widen(bits);
      if (std::isnan(exact)) {
        ASSERT_TRUE(std::isnan(wide)) << pattern;
        const uint16_t back = format.narrow(wide);
        ASSERT_TRUE(std::isnan(value_of(back, format.mantissa_bits, format.bias))) << pattern;
        ASSERT_EQ(back & 0x8000, bits & 0x8000) << pattern;
        continue;
      }
      ASSERT_EQ(static_cast<double>(wide), exact) << pattern;
      ASSERT_EQ(std::signbit(wide), std::signbit(exact)) << pattern;
      ASSERT_EQ(format.narrow(wide), bits) << pattern;
    }
  }
}

// Between each two neighbours: the midpoint goes to the even one, anything off it to the nearer.
TEST(DType, RoundsToTheNearestAndTiesToEven) {
  for (const Format& format : kFormats) {
    for (uint32_t pattern = 0; pattern < format.infinity; ++pattern) {
      const auto low = static_cast<uint16_t>(pattern);
      const auto high = static_cast<uint16_t>(pattern + 1);
      const double below = value_of(low, format.mantissa_bits, format.bias);
      // The neighbour of the largest number, were the exponent to go on, stands for infinity.
      const double above = high == format.infinity
                               ? below + (below - value_of(static_cast<uint16_t>(low - 1),
                                                           format.mantissa_bits, format.bias))
                               : value_of(high, format.mantissa_bits, format.bias);
      const auto middle = static_cast<float>((below + above) / 2);
      if (!std::isfinite(middle)) continue;  // beyond float itself
      ASSERT_EQ(static_cast<double>(middle), (below + above) / 2) << pattern;
      const uint16_t even = low % 2 == 0 ? low : high;
      for (const uint16_t sign : {uint16_t{0}, uint16_t{0x8000}}) {
        const float s = sign != 0 ? -1.0f : 1.0f;
        ASSERT_EQ(format.narrow(s * middle), even | sign) << pattern;
        ASSERT_EQ(format.narrow(s * std::nextafter(middle, 0.0f)), low | sign) << pattern;
        ASSERT_EQ(format.narrow(s * std::nextafter(middle, INFINITY)), high | sign) << pattern;
      }
    }
  }
}

TEST(DType, OverflowsToInfinityAndUnderflowsToSignedZero) {
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(f32_to_f16(-1e-30f), 0x8000);
  EXPECT_EQ(f32_to_bf16(3.4028235e38f), 0x7f80);
  EXPECT_EQ(f32_to_bf16(-1e-45f), 0x8000);
}

TEST(DType, ConvertsArraysBetweenFloatTypes) {
  const std::vector<double> f64{1.0, -2.5, 0.0, 65504.0, 1e-3};
  std::vector<float> f32(5);
  convert_elements(f64.data(), DType::kF64, f32.data(), DType::kF32, 5);
  EXPECT_EQ(f32[1], -2.5f);
  std::vector<uint16_t> half(5), brain(5);
  convert_elements(f32.data(), DType::kF32, half.data(), DType::kF16, 5);
  convert_elements(half.data(), DType::kF16, brain.data(), DType::kBF16, 5);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(half[i], f32_to_f16(f32[i]));
    EXPECT_EQ(brain[i], f32_to_bf16(f16_to_f32(half[i])));
  }
  std::vector<double> copy(5);
  convert_elements(f64.data(), DType::kF64, copy.data(), DType::kF64, 5);
  EXPECT_EQ(copy, f64);
  EXPECT_THROW(convert_elements(f32.data(), DType::kF32, copy.data(), DType::kI32, 5), Error);
  EXPECT_THROW(convert_elements(f32.data(), DType::kI8, copy.data(), DType::kF32, 5), Error);
}

TEST(DType, ConvertsNothingFromAndToNullPointers) {
  EXPECT_NO_THROW(convert_elements(nullptr, DType::kF32, nullptr, DType::kF32, 0));
  EXPECT_NO_THROW(convert_elements(nullptr, DType::kF32, nullptr, DType::kBF16, 0));
}

TEST(DType, NamesAndSizesAgree) {
  for (int i = 0; i <= static_cast<int>(DType::kBool); ++i) {
    const auto dtype = static_cast<DType>(i);
    DType parsed{};
    ASSERT_TRUE(parse_dtype(dtype_name(dtype), parsed));
    EXPECT_EQ(parsed, dtype);
    ASSERT_TRUE(parse_dtype(dtype_long_name(dtype), parsed));
    EXPECT_EQ(parsed, dtype);
    EXPECT_GT(dtype_size(dtype), 0u);
  }
  DType parsed{};
  EXPECT_FALSE(parse_dtype("bf16", parsed));
  EXPECT_FALSE(parse_dtype("", parsed));
  EXPECT_THROW(dtype_size(static_cast<DType>(200)), Error);
  EXPECT_EQ(dtype_size(DType::kBF16), 2u);
  EXPECT_EQ(dtype_size(DType::kF8E4M3), 1u);
}

}  // namespace
}  // namespace glmoe
