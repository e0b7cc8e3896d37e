#include "convert/load_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert/build_engine.h"
#include "convert/convert_checkpoint.h"
#include "glmoe/error.h"
#include "spec/memory_plan.h"
#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using glmoe::testing::first_difference;
using glmoe::testing::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kDemo = GLMOE_MODELS "/glm4-moe-demo";

// The demo model, which has an MTP layer, as all that can be loaded: its own folder, a converted
// one and an engine, both of two ranks.
class EveryKind : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TempFolder>();
    ConvertOptions convert;
    convert.model_dir = kDemo;
    convert.output_dir = folder_->file("converted");
    convert.mapping.tp_size = 2;
    convert_checkpoint(convert);
    BuildOptions build;
    build.model_dir = convert.output_dir;
    build.output_dir = folder_->file("engine");
    build_engine(build);
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static std::vector<std::string> paths() {
    return {kDemo, folder_->file("converted"), folder_->file("engine")};
  }

  static inline std::unique_ptr<TempFolder> folder_;
  ThreadTeam team_{2};
};

TEST_F(EveryKind, CarriesTheMtpLayerWhereItIsWanted) {
  for (const std::string& path : paths()) {
    const TensorSource source = open_checkpoint(path);
    EXPECT_EQ(source.plan.config.num_nextn_predict_layers, 1) << path;
    const BlobSet whole = load_checkpoint_to_blobs(path, std::nullopt, team_);
    EXPECT_EQ(whole.tensors.count("transformer.mtp.0.eh_proj.weight"), 1u) << path;
  }
}

TEST_F(EveryKind, TakesWhatThePlanCountsWithoutTheMtpLayer) {
  const BlobSet direct =
      load_checkpoint_to_blobs(kDemo, std::nullopt, team_, {.include_mtp = false});
  for (const std::string& path : paths()) {
    const BlobSet trunk =
        load_checkpoint_to_blobs(path, std::nullopt, team_, {.include_mtp = false});
    EXPECT_EQ(first_difference(direct.tensors, trunk.tensors), "") << path;
    EXPECT_EQ(static_cast<int64_t>(trunk.num_bytes),
              plan_memory(trunk.config, {.weight_dtype = trunk.dtype}).weight_bytes())
        << path;
  }
}

TEST_F(EveryKind, IsRefusedWithItsNameWhereMemoryIsShort) {
  for (const std::string& path : paths()) {
    try {
      load_checkpoint_to_blobs(path, std::nullopt, team_, {.available_bytes = 1 << 20});
      ADD_FAILURE() << path << " was not refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
      EXPECT_THAT(error.what(), AllOf(HasSubstr(path), HasSubstr(" 1048576 are available")));
    }
  }
}

TEST_F(EveryKind, IsConvertedToTheTypeAskedFor) {
  const BlobSet wide = load_checkpoint_to_blobs(kDemo, DType::kF32, team_);
  EXPECT_EQ(wide.dtype, DType::kF32);
  for (const std::string& path : paths()) {
    EXPECT_EQ(
        first_difference(wide.tensors, load_checkpoint_to_blobs(path, DType::kF32, team_).tensors),
        "")
        << path;
  }
}

}  // namespace
}  // namespace glmoe
