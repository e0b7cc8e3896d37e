#include "llm/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert/build_engine.h"
#include "convert/convert_checkpoint.h"
#include "glmoe/error.h"
#include "spec/memory_plan.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

// The demo model has an MTP layer. `plan` says what a model needs without it; loading must agree.
class LoadModel : public ::testing::Test {
 protected:
  LoadedModel load(const std::string& path) {
    LlmOptions options;
    options.model = path;
    return load_model(options, team_);
  }
  void expect_no_mtp(const std::string& path) {
    const LoadedModel model = load(path);
    EXPECT_TRUE(model.weights->weights().mtp.empty()) << path;
    const MemoryPlan plan = plan_memory(model.config, {.weight_dtype = model.weights->dtype()});
    EXPECT_EQ(static_cast<int64_t>(model.weights->resident_bytes()), plan.weight_bytes()) << path;
  }
  ThreadTeam team_{2};
};

TEST_F(LoadModel, TakesNoMemoryForMtpLayersFromAnyFolderThatIsCopied) {
  ASSERT_EQ(Glm4MoeConfig::from_file(demo_folder() + "/config.json").num_nextn_predict_layers, 1);
  expect_no_mtp(demo_folder());
  TempFolder folder;
  ConvertOptions convert;
  convert.model_dir = demo_folder();
  convert.output_dir = folder.file("converted");
  convert.mapping.tp_size = 2;
  convert_checkpoint(convert);
  expect_no_mtp(convert.output_dir);
  BuildOptions build;
  build.model_dir = convert.output_dir;
  build.output_dir = folder.file("engine");
  ASSERT_EQ(build_engine(build).num_ranks, 2);
  expect_no_mtp(build.output_dir);
}

TEST_F(LoadModel, WhatCannotFitThisMachineIsRefusedBeforeItIsMade) {
  LlmOptions options;
  options.load_format = "dummy";
  options.config = Glm4MoeConfig::preset("glm-4.5");
  options.config->num_hidden_layers = 1000;  // 8 TB
  try {
    load_model(options, team_);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(error.what(),
                AllOf(ContainsRegex("need [0-9]{13} bytes"), HasSubstr("are available")));
  }
}

}  // namespace
}  // namespace glmoe
