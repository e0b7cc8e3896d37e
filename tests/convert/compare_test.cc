#include "convert/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "artifact/engine_reader.h"
#include "convert/build_engine.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using glmoe::testing::TempFolder;
using ::testing::ElementsAre;

const std::string kAir = GLMOE_TEST_DATA "/goldens/air";
const std::string kDemo = GLMOE_MODELS "/glm4-moe-demo";

void build(const std::string& from, const std::string& to, int64_t tp = 1) {
  BuildOptions options;
  options.model_dir = from;
  options.output_dir = to;
  options.mapping = Mapping{};
  options.mapping->tp_size = tp;
  build_engine(options);
}

TEST(Compare, AnEngineOfTwoRanksEqualsItsSource) {
  TempFolder folder;
  ThreadTeam team(2);
  build(kAir, folder.file("engine"), 2);
  const CompareReport report = compare_engine_with_source(folder.file("engine"), kAir, team);
  EXPECT_TRUE(report.equal());
  EXPECT_GT(report.compared, 40);
}

TEST(Compare, NamesTensorPositionAndSizeOfADifference) {
  TempFolder folder;
  ThreadTeam team(2);
  build(kAir, folder.file("engine"));
  const std::string name = "transformer.layers.2.mlp.experts.down.weight";
  {
    const ArtifactReader reader(folder.file("engine"));
    for (const EngineBlob& blob : reader.manifest().ranks[0].blobs) {
      if (blob.name != name) continue;
      const int64_t at = (3 * 64 + 5) * 48 + 7;  // [E, H, I] = [16, 64, 48]
      float value = bf16_to_f32(reader.view(0, blob).as<uint16_t>()[at]);
      const uint16_t changed = f32_to_bf16(value + 1.0f);
      OutputFile file(folder.file("engine/rank-00.bin"), OutputFile::Mode::kOpenExisting);
      file.write_at(blob.offset + 2 * static_cast<uint64_t>(at),
                    std::as_bytes(std::span(&changed, 1)));
    }
  }
  const CompareReport report = compare_engine_with_source(folder.file("engine"), kAir, team);
  ASSERT_EQ(report.different.size(), 1u);
  EXPECT_EQ(report.different[0].name, name);
  EXPECT_THAT(report.different[0].position, ElementsAre(3, 5, 7));
  EXPECT_EQ(report.different[0].num_different, 1);
  EXPECT_NEAR(report.different[0].max_abs_diff, 1.0, 0.01);
}

TEST(Compare, AnotherModelDiffersEverywhere) {
  TempFolder folder;
  ThreadTeam team(2);
  build(kDemo, folder.file("engine"));
  const CompareReport report = compare_engine_with_source(folder.file("engine"), kAir, team);
  EXPECT_FALSE(report.equal());
  EXPECT_GT(report.extra.size(), 5u);  // QK norms, two more layers, MTP
  EXPECT_GT(report.different.size(), 10u);
}

}  // namespace
}  // namespace glmoe
