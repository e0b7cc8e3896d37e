#include "convert/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/hf_folder.h"
#include "convert/build_engine.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using glmoe::testing::TempFolder;
using ::testing::HasSubstr;

const std::string kDemo = GLMOE_MODELS "/glm4-moe-demo";

TEST(Inspect, CountsWhatTheCheckpointHolds) {
  const FolderSummary summary = inspect_folder(kDemo);
  const HfFolder hf(kDemo);
  int64_t all = 0;
  for (const std::string& name : hf.names()) all += hf.tensor(name).shape.num_elements();
  int64_t parts = 0, mtp = 0;
  for (const PartSummary& part : summary.parts) {
    parts += part.num_parameters;
    if (part.name == "mtp") mtp = part.num_parameters;
  }
  EXPECT_EQ(parts, all);
  EXPECT_EQ(summary.num_parameters, all - mtp);
  EXPECT_GT(mtp, 0);
  // Five MoE layers, 4 of 16 experts of 3 * 128 * 256 each: 12 experts a layer are not met.
  const int64_t idle = 5 * 12 * 3 * 128 * 256 + 8192 * 256 - 256;
  EXPECT_EQ(summary.num_active_parameters, summary.num_parameters - idle);
  EXPECT_EQ(summary.kind, ModelFolderKind::kHuggingFace);
}

TEST(Inspect, TellsTheSameOfTheEngine) {
  TempFolder folder;
  BuildOptions options;
  options.model_dir = kDemo;
  options.output_dir = folder.file("engine");
  build_engine(options);
  const FolderSummary engine = inspect_folder(folder.file("engine"));
  EXPECT_EQ(engine.kind, ModelFolderKind::kEngine);
  EXPECT_EQ(engine.num_parameters, inspect_folder(kDemo).num_parameters);
  EXPECT_EQ(engine.fingerprint, inspect_folder(kDemo).fingerprint);
  const Json json = summary_to_json(engine);
  EXPECT_EQ(json["kind"], "engine");
  EXPECT_EQ(json["engine_format"], 1);
  EXPECT_THAT(summary_to_text(engine), HasSubstr("experts"));
}

}  // namespace
}  // namespace glmoe
