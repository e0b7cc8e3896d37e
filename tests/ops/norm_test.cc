#include "ops/norm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "glmoe/error.h"
#include "ops/ref/norm_ref.h"
#include "support/compare.h"
#include "support/op_fixture.h"

namespace glmoe {
namespace {

using testing::all_close;
using testing::matrix_view;
using testing::OpEnvironment;
using testing::random_floats;
using testing::same_bits;

constexpr float kEps = 1e-5f;

struct NormCase {
  int64_t rows, width;
  float scale;
};

class NormTest : public ::testing::TestWithParam<NormCase> {};

TEST_P(NormTest, RowsAndSumsMatchTheReference) {
  const auto [rows, width, scale] = GetParam();
  OpEnvironment env;
  auto x = random_floats(rows * width, 1, scale), delta = random_floats(rows * width, 2, scale);
  const auto gamma = random_floats(width, 3);
  std::vector<float> found(x.size()), wanted(x.size());

  rms_norm(env.context(), matrix_view(x, rows, width), gamma, kEps,
           matrix_view(found, rows, width));
  ref::rms_norm(matrix_view(x, rows, width), gamma, kEps, matrix_view(wanted, rows, width));
  EXPECT_TRUE(all_close(found, wanted, {.absolute = 1e-7, .relative = 4e-6, .row_length = width}));

  auto residual = x, wanted_residual = x;
  add_rms_norm(env.context(), matrix_view(residual, rows, width), matrix_view(delta, rows, width),
               gamma, kEps, matrix_view(found, rows, width));
  ref::add_rms_norm(matrix_view(wanted_residual, rows, width), matrix_view(delta, rows, width),
                    gamma, kEps, matrix_view(wanted, rows, width));
  EXPECT_TRUE(same_bits(residual, wanted_residual));
  EXPECT_TRUE(all_close(found, wanted, {.absolute = 1e-7, .relative = 4e-6, .row_length = width}));
}

INSTANTIATE_TEST_SUITE_P(Cases, NormTest,
                         ::testing::Values(NormCase{0, 8, 1.0f}, NormCase{1, 1, 1.0f},
                                           NormCase{3, 7, 1.0f}, NormCase{5, 31, 1e-4f},
                                           NormCase{2, 33, 1e4f}, NormCase{17, 128, 1.0f},
                                           NormCase{9, 4096, 1.0f}, NormCase{3, 5120, 1e8f}));

TEST(Norm, ARowDoesNotDependOnItsNeighboursOrTheThreads) {
  constexpr int64_t kRows = 40, kWidth = 515;
  auto x = random_floats(kRows * kWidth, 1);
  const auto gamma = random_floats(kWidth, 3);
  std::vector<float> together(x.size()), alone(x.size());
  OpEnvironment many(3), one(1);
  rms_norm(many.context(), matrix_view(x, kRows, kWidth), gamma, kEps,
           matrix_view(together, kRows, kWidth));
  for (int64_t r = 0; r < kRows; ++r) {
    const TensorView in{.data = x.data() + r * kWidth, .shape = Shape{1, kWidth}};
    const TensorView out{.data = alone.data() + r * kWidth, .shape = Shape{1, kWidth}};
    rms_norm(one.context(), in, gamma, kEps, out);
  }
  EXPECT_TRUE(same_bits(together, alone, kWidth));
}

TEST(Norm, MayWriteOverItsInput) {
  OpEnvironment env;
  auto x = random_floats(3 * 19, 1);
  const auto gamma = random_floats(19, 3);
  std::vector<float> wanted(x.size());
  rms_norm(env.context(), matrix_view(x, 3, 19), gamma, kEps, matrix_view(wanted, 3, 19));
  rms_norm(env.context(), matrix_view(x, 3, 19), gamma, kEps, matrix_view(x, 3, 19));
  EXPECT_TRUE(same_bits(x, wanted, 19));
}

TEST(Norm, AWrongWidthIsRefusedWithBothNumbers) {
  OpEnvironment env;
  std::vector<float> x(16), out(16);
  const std::vector<float> gamma(7);
  try {
    rms_norm(env.context(), matrix_view(x, 2, 8), gamma, kEps, matrix_view(out, 2, 8));
    FAIL() << "a gamma of 7 was taken for rows of 8";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("wanted [2, 7], found [2, 8]"));
  }
}

}  // namespace
}  // namespace glmoe
