#include <gtest/gtest.h>

#include "glmoe/config.h"
#include "glmoe/error.h"

// Mirrors: src/spec/presets.cc
namespace glmoe {
namespace {

TEST(Presets, AreValid) {
  for (const std::string& name : Glm4MoeConfig::preset_names()) {
    EXPECT_NO_THROW(Glm4MoeConfig::preset(name).validate()) << name;
  }
}

TEST(Presets, DemoEqualsItsCheckpointsConfiguration) {
  EXPECT_EQ(Glm4MoeConfig::preset("demo"),
            Glm4MoeConfig::from_file(GLMOE_MODELS "/glm4-moe-demo/config.json"));
}

TEST(Presets, UnknownNameIsNotFound) {
  try {
    Glm4MoeConfig::preset("glm-5");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("glm-4.5-air"), std::string::npos);
  }
}

}  // namespace
}  // namespace glmoe
