#include "convert/build_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "artifact/engine_reader.h"
#include "convert/convert_checkpoint.h"
#include "glmoe/error.h"
#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

namespace fs = std::filesystem;
using glmoe::testing::error_of;
using glmoe::testing::TempFolder;
using ::testing::HasSubstr;

class BuildEngine : public ::testing::Test {
 protected:
  BuildEngine() {
    build_.model_dir = GLMOE_TEST_DATA "/goldens/grouped";
    build_.output_dir = folder_.file("engine");
    build_.workers = 2;
  }
  uint64_t blob_bytes() const {
    uint64_t bytes = 0;
    for (const EngineRank& rank : read_manifest(build_.output_dir).ranks) {
      for (const EngineBlob& blob : rank.blobs) bytes += blob.size;
    }
    return bytes;
  }
  TempFolder folder_;
  BuildOptions build_;
};

TEST_F(BuildEngine, ReportsWhatItWrote) {
  const BuildReport one = build_engine(build_);
  EXPECT_EQ(one.num_ranks, 1);
  EXPECT_EQ(one.num_bytes, blob_bytes());
  EXPECT_EQ(one.dtype, read_manifest(build_.output_dir).dtype);
  build_.dtype = DType::kF32;
  build_.mapping = Mapping{.tp_size = 2, .pp_size = 2};
  const BuildReport four = build_engine(build_);  // in the place of the old one
  EXPECT_EQ(four.num_ranks, 4);
  EXPECT_EQ(four.num_bytes, blob_bytes());
  EXPECT_EQ(read_manifest(build_.output_dir).dtype, DType::kF32);
  EXPECT_GT(four.num_bytes, one.num_bytes);
}

// A converted folder's layout is kept unless another is asked for; the MTP layer goes along.
TEST_F(BuildEngine, KeepsTheLayoutAndTheMtpLayerOfAConvertedFolder) {
  ConvertOptions convert;
  convert.model_dir = GLMOE_MODELS "/glm4-moe-demo";
  convert.output_dir = folder_.file("converted");
  convert.mapping.tp_size = 2;
  convert.mapping.ep_size = 2;
  convert_checkpoint(convert);
  build_.model_dir = convert.output_dir;
  build_engine(build_);
  const ArtifactReader reader(build_.output_dir);
  EXPECT_EQ(reader.manifest().mapping, convert.mapping.resolved());
  EXPECT_EQ(reader.config().num_nextn_predict_layers, 1);
  EXPECT_EQ(reader.manifest().source_kind, "converted");
  size_t mtp_blobs = 0;
  for (const EngineBlob& blob : reader.manifest().ranks[1].blobs) {
    mtp_blobs += blob.name.starts_with("transformer.mtp.0.");
  }
  EXPECT_GT(mtp_blobs, 10u);
}

TEST_F(BuildEngine, RefusesBeforeItWrites) {
  build_.mapping = Mapping{.tp_size = 3};
  EXPECT_THAT(error_of([&] { build_engine(build_); }), HasSubstr("tensor_parallel_size 3"));
  build_.mapping = Mapping{.tp_size = 2, .ep_size = 3};
  EXPECT_THAT(error_of([&] { build_engine(build_); }), HasSubstr("3"));
  build_.mapping.reset();
  build_.model_dir = folder_.file("nothing");
  EXPECT_THAT(error_of([&] { build_engine(build_); }), HasSubstr(build_.model_dir));
  EXPECT_FALSE(fs::exists(build_.output_dir));
  EXPECT_FALSE(fs::exists(build_.output_dir + ".partial"));
}

}  // namespace
}  // namespace glmoe
