// Tokenizer against what Hugging Face's `tokenizers` made of some 300 texts, for the demo model's
// tokenizer, for a small one with every step of GLM-4.5's, and for that one with added tokens of
// odd flags (tools/reference). What malformed files lead to is tokenizer_build_test.cc's.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

const std::string kFolder = GLMOE_TEST_DATA "/text";

const Json& cases() {
  static const Json json = read_json_file(kFolder + "/tokenizer_cases.json");
  return json;
}

class ReferenceTest : public ::testing::TestWithParam<const char*> {
 protected:
  static Tokenizer make(const std::string& name) {
    if (name == "demo") return Tokenizer::from_folder(GLMOE_MODELS "/glm4-moe-demo");
    Json json = read_json_file(kFolder + "/small_tokenizer.json");
    if (name == "flags") json["added_tokens"] = cases()["flags_added_tokens"];
    return Tokenizer::from_json(json.dump());
  }
  Tokenizer tokenizer_ = make(GetParam());
  const Json& expected_ = cases()["tokenizers"][GetParam()];
  const Json& texts_ = cases()["texts"];
};
INSTANTIATE_TEST_SUITE_P(Tokenizers, ReferenceTest, ::testing::Values("demo", "small", "flags"));

TEST_P(ReferenceTest, EncodesEveryTextLikeHuggingFace) {
  ASSERT_GE(texts_.size(), 300u);
  for (size_t i = 0; i < texts_.size(); ++i) {
    EXPECT_EQ(tokenizer_.encode(texts_[i].get<std::string>()), expected_["ids"][i].get<Ids>())
        << "text " << i << ": " << texts_[i];
  }
}

TEST_P(ReferenceTest, EncodesAddedTokensAsPlainTextWhereAskedTo) {
  int differ = 0;
  for (size_t i = 0; i < texts_.size(); ++i) {
    EXPECT_EQ(tokenizer_.encode(texts_[i].get<std::string>(), false),
              expected_["plain_ids"][i].get<Ids>())
        << "text " << i << ": " << texts_[i];
    differ += expected_["plain_ids"][i] != expected_["ids"][i];
  }
  EXPECT_GT(differ, 20);
}

TEST_P(ReferenceTest, DecodesEveryTextLikeHuggingFace) {
  for (size_t i = 0; i < texts_.size(); ++i) {
    const Ids ids = expected_["ids"][i].get<Ids>();
    EXPECT_EQ(tokenizer_.decode(ids), expected_["decoded"][i].get<std::string>()) << texts_[i];
    EXPECT_EQ(tokenizer_.decode(ids, true),
              expected_["decoded_without_special"][i].get<std::string>())
        << texts_[i];
  }
}

TEST_P(ReferenceTest, DecodesIdsThatAreNoUtf8LikeHuggingFace) {
  for (const Json& id_case : expected_["id_cases"]) {
    const Ids ids = id_case["ids"].get<Ids>();
    EXPECT_EQ(tokenizer_.decode(ids), id_case["decoded"].get<std::string>()) << id_case;
    EXPECT_EQ(tokenizer_.decode(ids, true), id_case["decoded_without_special"].get<std::string>())
        << id_case;
  }
}

TEST_P(ReferenceTest, EncodesTheSameOnManyThreadsAndWithAWarmCache) {
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int round = 0; round < 2; ++round) {
        for (size_t i = 0; i < texts_.size(); ++i) {
          const auto ids = tokenizer_.encode(texts_[i].get_ref<const std::string&>());
          count += ids != expected_["ids"][i].get<Ids>();
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int count : wrong) EXPECT_EQ(count, 0);
}

class DemoTokenizerTest : public ::testing::Test {
 protected:
  Tokenizer tokenizer_ = Tokenizer::from_folder(GLMOE_MODELS "/glm4-moe-demo");
};

TEST_F(DemoTokenizerTest, EncodesThePromptsOfTheDemoCases) {
  const Json demo_cases = read_json_file(GLMOE_TEST_DATA "/demo_cases.json");
  ASSERT_FALSE(demo_cases.empty());
  for (const Json& demo_case : demo_cases) {
    EXPECT_EQ(tokenizer_.encode(demo_case["prompt"].get<std::string>()),
              demo_case["prompt_ids"].get<Ids>());
  }
}

TEST_F(DemoTokenizerTest, TellsSpecialAddedAndOrdinaryTokensApart) {
  EXPECT_EQ(tokenizer_.token_id("<|user|>"), 8167);
  EXPECT_TRUE(tokenizer_.is_special(8167));
  const auto letter = tokenizer_.token_id("a");
  ASSERT_TRUE(letter.has_value());
  EXPECT_FALSE(tokenizer_.is_added(*letter));
  EXPECT_EQ(tokenizer_.token_bytes(*letter), "a");
  EXPECT_FALSE(tokenizer_.token_id("no such token").has_value());
  EXPECT_EQ(tokenizer_.vocab_size(), 8181);
}

TEST_F(DemoTokenizerTest, TakesIdsWithoutATokenForNothing) {
  for (const int32_t id : {-1, INT32_MIN, 8181, INT32_MAX}) {
    EXPECT_FALSE(tokenizer_.has_token(id));
    EXPECT_FALSE(tokenizer_.is_special(id));
    EXPECT_EQ(tokenizer_.token_bytes(id), "");
    EXPECT_EQ(tokenizer_.decode(Ids{id}), "");
  }
}

TEST_F(DemoTokenizerTest, RefusesMalformedUtf8AndNamesTheByte) {
  const std::pair<const char*, size_t> wrong[] = {
      {"abc\xFF", 3},          {"\x80", 0},         {"a\xC0\xAF", 1},
      {"ab\xE0\x80\x80", 2},   {"\xED\xA0\x80", 0}, {"x\xE6\xBC", 1},
      {"\xF4\x90\x80\x80", 0}, {"12345678\xC3", 8}, {"<|user|>\xF0\x9F", 8}};
  for (const auto& [text, offset] : wrong) {
    for (const bool parse_special : {false, true}) {
      try {
        tokenizer_.encode(text, parse_special);
        ADD_FAILURE() << "accepted, wrong at " << offset;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
        EXPECT_THAT(error.what(), HasSubstr(fmt::format("byte {} ", offset)));
      }
    }
  }
}

TEST(TokenizerTest, SaysWhichFileIsMissing) {
  const testing::TempFolder folder;
  EXPECT_FALSE(Tokenizer::present_in(folder.path()));
  try {
    Tokenizer::from_folder(folder.path());
    FAIL() << "no tokenizer.json, yet no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json"));
  }
}

TEST(TokenizerTest, TellsAddedTokensThatAreNotSpecial) {
  const auto tokenizer = Tokenizer::from_json(read_text_file(kFolder + "/small_tokenizer.json"));
  const auto think = tokenizer.token_id("<think>");
  ASSERT_TRUE(think.has_value());
  EXPECT_TRUE(tokenizer.is_added(*think));
  EXPECT_FALSE(tokenizer.is_special(*think));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("<|user|><think>x"), true), "<think>x");
}

TEST(TokenizerTest, AddsTokensThatOnlyTheConfigurationLists) {
  const std::string json = read_text_file(kFolder + "/small_tokenizer.json");
  const int32_t next = static_cast<int32_t>(Tokenizer::from_json(json).vocab_size());
  const Json config = {{"added_tokens_decoder",
                        {{std::to_string(next), {{"content", "<|new|>"}, {"special", true}}}}}};
  const auto tokenizer = Tokenizer::from_json(json, config.dump());
  EXPECT_EQ(tokenizer.encode("<|new|>"), Ids{next});
  EXPECT_TRUE(tokenizer.is_special(next));
}

}  // namespace
}  // namespace glmoe
