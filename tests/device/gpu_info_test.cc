#include "device/gpu_info.h"

#include <gtest/gtest.h>

namespace glmoe {
namespace {

TEST(GpuInfo, ThereAreGpusOrAReasonAndNeverBoth) {
  const GpuQuery query = query_gpus();
  EXPECT_NE(query.gpus.empty(), query.reason.empty()) << query.reason;
  EXPECT_EQ(why_no_gpu(), query.reason);
}

TEST(GpuInfo, EveryGpuIsFullyDescribed) {
  for (const GpuInfo& gpu : query_gpus().gpus) {
    EXPECT_FALSE(gpu.name.empty());
    EXPECT_GT(gpu.compute_major, 0);
    EXPECT_GT(gpu.sm_count, 0);
    EXPECT_GT(gpu.free_bytes, 0);
    EXPECT_GE(gpu.memory_bytes, gpu.free_bytes);
    EXPECT_NE(gpu.driver_version, "0.0");
    EXPECT_NE(gpu.runtime_version, "0.0");
  }
}

}  // namespace
}  // namespace glmoe
