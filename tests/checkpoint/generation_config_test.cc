#include <gmock/gmock.h>

#include "checkpoint/hf_folder.h"
#include "glmoe/error.h"
#include "support/temp_folder.h"

// Mirrors: src/checkpoint/generation_config.cc
namespace glmoe {
namespace {

TEST(GenerationConfig, ReadsTheDemosDefaults) {
  const GenerationConfig config = read_generation_config(GLMOE_MODELS "/glm4-moe-demo");
  EXPECT_EQ(config.do_sample, true);
  EXPECT_FLOAT_EQ(config.temperature.value(), 0.6f);
  EXPECT_FLOAT_EQ(config.top_p.value(), 0.95f);
  EXPECT_FALSE(config.top_k.has_value());
  EXPECT_THAT(config.eos_token_ids, ::testing::ElementsAre(8160, 8167, 8169));
}

TEST(GenerationConfig, IsEmptyWithoutAFile) {
  testing::TempFolder folder;
  EXPECT_FALSE(read_generation_config(folder.path()).temperature.has_value());
}

TEST(GenerationConfig, TopKOfMinusOneIsOff) {
  testing::TempFolder folder;
  folder.write("generation_config.json", R"({"top_k": -1})");
  EXPECT_EQ(read_generation_config(folder.path()).top_k, 0);
}

TEST(GenerationConfig, NamesFileAndFieldOfBadValues) {
  testing::TempFolder folder;
  for (const auto& [text, field] : std::vector<std::pair<std::string, std::string>>{
           {R"({"temperature": -1})", "temperature"},
           {R"({"top_p": 2})", "top_p"},
           {R"({"top_p": "x"})", "top_p"},
           {R"({"top_k": -2})", "top_k"},
           {R"({"do_sample": 1})", "do_sample"},
           {R"({"eos_token_id": [4294967296]})", "eos_token_id"}}) {
    folder.write("generation_config.json", text);
    try {
      read_generation_config(folder.path());
      ADD_FAILURE() << text << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("generation_config.json"),
                                                 ::testing::HasSubstr(field)));
    }
  }
}

}  // namespace
}  // namespace glmoe
