// The one comparator of numeric results: every element within an absolute or a relative limit, the
// whole within a cosine limit, inf and nan at the same places. Names the worst coordinate.
//   EXPECT_TRUE(all_close(found, wanted, {.absolute = 1e-6, .relative = 1e-5}));
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace glmoe::testing {

struct Tolerance {
  double absolute = 0.0;  // an element passes within absolute + relative * |wanted|
  double relative = 0.0;
  double cosine = 1.0;     // at most this much of 1 - cos(found, wanted); 1: not looked at
  int64_t row_length = 0;  // coordinates are printed as [row, column] where not 0
};

inline std::string coordinate(size_t index, int64_t row_length) {
  if (row_length <= 0) return "[" + std::to_string(index) + "]";
  const auto width = static_cast<size_t>(row_length);
  return "[" + std::to_string(index / width) + ", " + std::to_string(index % width) + "]";
}

// 1 - cosine of the angle between two vectors, finite elements only; 0 where one is all zero.
inline double cosine_error(std::span<const float> found, std::span<const float> wanted) {
  double dot = 0.0, a = 0.0, b = 0.0;
  for (size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i]) || !std::isfinite(wanted[i])) continue;
    dot += static_cast<double>(found[i]) * wanted[i];
    a += static_cast<double>(found[i]) * found[i];
    b += static_cast<double>(wanted[i]) * wanted[i];
  }
  return a == 0.0 || b == 0.0 ? 0.0 : 1.0 - dot / std::sqrt(a * b);
}

inline ::testing::AssertionResult all_close(std::span<const float> found,
                                            std::span<const float> wanted,
                                            const Tolerance& tolerance) {
  if (found.size() != wanted.size()) {
    return ::testing::AssertionFailure()
           << found.size() << " elements found, " << wanted.size() << " wanted";
  }
  double worst = 0.0;
  size_t worst_at = 0, num_wrong = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const bool special = !std::isfinite(found[i]) || !std::isfinite(wanted[i]);
    if (special) {
      const bool same = (std::isnan(found[i]) && std::isnan(wanted[i])) || found[i] == wanted[i];
      if (same) continue;
      return ::testing::AssertionFailure()
             << "inf or nan differ at " << coordinate(i, tolerance.row_length) << ": found "
             << found[i] << ", wanted " << wanted[i];
    }
    const double error = std::abs(static_cast<double>(found[i]) - wanted[i]);
    const double limit = tolerance.absolute + tolerance.relative * std::abs(wanted[i]);
    const double excess = error - limit;
    num_wrong += excess > 0.0;
    if (excess > worst) {
      worst = excess;
      worst_at = i;
    }
  }
  if (num_wrong > 0) {
    return ::testing::AssertionFailure()
           << num_wrong << " of " << found.size() << " elements are off; the worst at "
           << coordinate(worst_at, tolerance.row_length) << ": found " << found[worst_at]
           << ", wanted " << wanted[worst_at] << ", difference "
           << std::abs(static_cast<double>(found[worst_at]) - wanted[worst_at]);
  }
  const double angle = cosine_error(found, wanted);
  if (!(angle <= tolerance.cosine)) {
    return ::testing::AssertionFailure()
           << "1 - cosine is " << angle << ", at most " << tolerance.cosine << " wanted";
  }
  return ::testing::AssertionSuccess();
}

// Equal to the bit (two NaNs of the same bits are equal, 0 and -0 are not).
inline ::testing::AssertionResult same_bits(std::span<const float> found,
                                            std::span<const float> wanted, int64_t row_length = 0) {
  if (found.size() != wanted.size()) {
    return ::testing::AssertionFailure()
           << found.size() << " elements found, " << wanted.size() << " wanted";
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (std::memcmp(&found[i], &wanted[i], sizeof(float)) == 0) continue;
    return ::testing::AssertionFailure() << "bits differ first at " << coordinate(i, row_length)
                                         << ": found " << found[i] << ", wanted " << wanted[i];
  }
  return ::testing::AssertionSuccess();
}

}  // namespace glmoe::testing
