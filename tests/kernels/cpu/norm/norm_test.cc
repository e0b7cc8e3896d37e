#include "kernels/cpu/norm/norm.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "support/compare.h"

namespace glmoe::kernels {
namespace {

uint16_t bf16(float value) {
  uint16_t out = 0;
  narrow_to_bf16(&value, 1, &out);
  return out;
}

TEST(NarrowToBf16, RoundsToNearestEvenInVectorsAndTails) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<float, uint16_t>> cases{{0.0f, 0x0000},
                                                      {-0.0f, 0x8000},
                                                      {1.0f, 0x3f80},
                                                      {std::bit_cast<float>(0x3f808000u), 0x3f80},
                                                      {std::bit_cast<float>(0x3f818000u), 0x3f82},
                                                      {std::bit_cast<float>(0x3f808001u), 0x3f81},
                                                      {inf, 0x7f80},
                                                      {-inf, 0xff80},
                                                      {std::numeric_limits<float>::max(), 0x7f80},
                                                      {std::bit_cast<float>(0x00008001u), 0x0001}};
  for (const auto& [value, wanted] : cases) EXPECT_EQ(bf16(value), wanted) << value;
  std::vector<float> many;
  for (int i = 0; i < 37; ++i) many.push_back(cases[static_cast<size_t>(i) % cases.size()].first);
  std::vector<uint16_t> out(37);
  narrow_to_bf16(many.data(), 37, out.data());
  for (size_t i = 0; i < 37; ++i) EXPECT_EQ(out[i], cases[i % cases.size()].second) << i;
}

TEST(NarrowToBf16, NanStaysNanWhateverItsBits) {
  for (const uint32_t bits : {0x7f800001u, 0xffffffffu, 0x7fc00000u}) {
    std::vector<float> many(19, std::bit_cast<float>(bits));
    std::vector<uint16_t> out(19);
    narrow_to_bf16(many.data(), 19, out.data());
    for (const uint16_t value : out) {
      EXPECT_TRUE(std::isnan(std::bit_cast<float>(static_cast<uint32_t>(value) << 16)));
    }
  }
}

TEST(TransformHeads, TurnsByNinetyDegreesAndLeavesTheRestAlone) {
  constexpr int64_t kDim = 41, kRotary = 38;
  std::vector<float> heads, table(kRotary, 0.0f), wanted;
  std::fill(table.begin() + kRotary / 2, table.end(), 1.0f);  // cosine 0, sine 1
  for (int64_t i = 0; i < 2 * kDim; ++i) heads.push_back(static_cast<float>(i + 1));
  for (int64_t h = 0; h < 2; ++h) {
    for (int64_t i = 0; i < kDim; ++i) {
      const int64_t partner = i < kRotary / 2 ? i + kRotary / 2 : i - kRotary / 2;
      const float sign = i < kRotary / 2 ? -1.0f : 1.0f;
      wanted.push_back(i < kRotary ? sign * static_cast<float>(h * kDim + partner + 1)
                                   : static_cast<float>(h * kDim + i + 1));
    }
  }
  transform_heads({.head_dim = kDim, .rotary_dim = kRotary, .table = table.data()}, 2,
                  heads.data());
  EXPECT_EQ(heads, wanted);
}

TEST(RmsNormRow, ZerosStayZerosAndNanShows) {
  std::vector<float> x(50, 0.0f), gamma(50, 2.0f), out(50, 1.0f);
  rms_norm_row(x.data(), gamma.data(), 50, 1e-5f, out.data());
  EXPECT_EQ(out, x);
  x[49] = std::numeric_limits<float>::quiet_NaN();
  rms_norm_row(x.data(), gamma.data(), 50, 1e-5f, out.data());
  EXPECT_TRUE(std::isnan(out[0]));
}

}  // namespace
}  // namespace glmoe::kernels
