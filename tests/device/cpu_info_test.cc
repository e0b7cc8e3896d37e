#include "device/cpu_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kTwoSockets[] =
    "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nphysical id\t: 0\ncore id\t: 0\n"
    "flags\t\t: fpu avx fma avx2 avx512f avx512bw avx512_bf16 amx_bf16 amx_tile\n\n"
    "processor\t: 1\nmodel name\t: Some CPU @ 2.0GHz\nphysical id\t: 0\ncore id\t: 0\n\n"
    "processor\t: 2\nmodel name\t: Some CPU @ 2.0GHz\nphysical id\t: 1\ncore id\t: 0\n\n";
constexpr char kMemory[] = "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    600 kB\n";

TEST(CpuInfo, CountsCoresOnceHoweverManyThreadsAndSocketsTheyHave) {
  EXPECT_EQ(parse_cpu_info(kTwoSockets, kMemory).physical_cores, 2);
}

TEST(CpuInfo, CountsThreadsWhereTheSystemNamesNoCores) {
  EXPECT_EQ(parse_cpu_info("processor : 0\nprocessor : 1\nprocessor : 2\n", "").physical_cores, 3);
}

TEST(CpuInfo, NamesTheInstructionSetsInOurSpelling) {
  const CpuInfo info = parse_cpu_info(kTwoSockets, kMemory);
  EXPECT_EQ(info.name, "Some CPU @ 2.0GHz");
  EXPECT_THAT(info.isa, ElementsAre("avx", "fma", "avx2", "avx512", "avx512bw", "avx512bf16", "amx",
                                    "amxbf16"));
  EXPECT_TRUE(info.has("avx512bf16"));
  EXPECT_FALSE(info.has("avx512vnni"));
}

TEST(CpuInfo, ReadsMemoryInBytes) {
  const CpuInfo info = parse_cpu_info(kTwoSockets, kMemory);
  EXPECT_EQ(info.memory_bytes, 1000 * 1024);
  EXPECT_EQ(info.available_bytes, 600 * 1024);
}

TEST(CpuInfo, KeepsDefaultsForTextThatSaysNothing) {
  const CpuInfo info = parse_cpu_info("nonsense\n:::\nprocessor", "MemTotal: many kB\n");
  EXPECT_EQ(info.name, "unknown");
  EXPECT_EQ(info.physical_cores, 1);
  EXPECT_EQ(info.memory_bytes, 0);
  EXPECT_THAT(info.isa, IsEmpty());
}

TEST(CpuInfo, AControlGroupLowersMemoryAndWhatIsLeftOfIt) {
  CpuInfo info{.memory_bytes = 1000, .available_bytes = 900};
  apply_memory_limit("500\n", "450\n", "", info);
  EXPECT_EQ(info.memory_bytes, 500);
  EXPECT_EQ(info.available_bytes, 50);
}

TEST(CpuInfo, AControlGroupWithoutLimitChangesNothing) {
  CpuInfo info{.memory_bytes = 1000, .available_bytes = 900};
  apply_memory_limit("max\n", "450\n", "inactive_file 9\n", info);
  apply_memory_limit("", "", "", info);
  EXPECT_EQ(info.memory_bytes, 1000);
  EXPECT_EQ(info.available_bytes, 900);
}

// A checkpoint that has just been read fills its control group with pages of files.
TEST(CpuInfo, FilePagesOfAControlGroupCountAsAvailable) {
  CpuInfo info{.memory_bytes = 1000, .available_bytes = 900};
  apply_memory_limit("500\n", "450\n",
                     "anon 100\nfile 350\nshmem 50\ninactive_file 200\nactive_file 100\n", info);
  EXPECT_EQ(info.available_bytes, 350);
  // Never more than the machine has, or the limit allows.
  apply_memory_limit("500\n", "450\n", "inactive_file 460\nactive_file nonsense\n", info);
  EXPECT_EQ(info.available_bytes, 350);
  CpuInfo other{.memory_bytes = 1000, .available_bytes = 900};
  apply_memory_limit("500\n", "450\n", "inactive_file 460\n", other);
  EXPECT_EQ(other.available_bytes, 500);
}

TEST(CpuInfo, ThisMachineHasMemoryAndCores) {
  const CpuInfo info = cpu_info();
  EXPECT_FALSE(info.name.empty());
  EXPECT_GE(info.physical_cores, 1);
  EXPECT_GT(info.available_bytes, 0);
  EXPECT_GE(info.memory_bytes, info.available_bytes);
}

}  // namespace
}  // namespace glmoe
