#include "kernels/cpu/bandwidth/bandwidth.h"

#include <gtest/gtest.h>

namespace glmoe {
namespace {

// Rates differ from machine to machine; that they are real numbers of a plausible size does not.
TEST(BandwidthTest, IsAPlausibleNumberOfGigabytes) {
  ThreadTeam team(2);
  const double gb_per_s = measure_read_bandwidth(team, size_t{8} << 20);
  EXPECT_GT(gb_per_s, 0.05);
  EXPECT_LT(gb_per_s, 20000.0);
}

TEST(BandwidthTest, TheMultiplyAddPeakIsAPlausibleNumber) {
  ThreadTeam team(1);
  const double gflop_per_s = measure_fma_peak(team);
  EXPECT_GT(gflop_per_s, 0.05);
  EXPECT_LT(gflop_per_s, 2000.0);
}

}  // namespace
}  // namespace glmoe
