// Malformed and unsupported tokenizer.json: refused with the field named.
// Mirrors: src/text/tokenizer_build.cc, src/text/tokenizer_file.cc
#include "text/tokenizer_build.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace glmoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Json small() {
  static const Json json =
      parse_json(read_text_file(GLMOE_TEST_DATA "/text/small_tokenizer.json"), "small");
  return json;
}

// The error that the small tokenizer leads to once `change` has been at it.
Error error_after(const std::function<void(Json&)>& change, const std::string& config = {}) {
  Json json = small();
  change(json);
  try {
    build_tokenizer(json.dump(), config, "T");
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "accepted";
  return Error(ErrorCode::kInternal, "accepted");
}

TEST(TokenizerBuildTest, AcceptsTheFileThatTheOtherTestsChange) {
  EXPECT_NO_THROW(build_tokenizer(small().dump(), {}, "T"));
}

struct WrongField {
  const char* pointer;  // JSON pointer of the field
  const char* value;    // what it becomes; nullptr: it is removed
  ErrorCode code;
  const char* named;  // in the message
};

class WrongFieldTest : public ::testing::TestWithParam<WrongField> {};

TEST_P(WrongFieldTest, IsRefusedByName) {
  const WrongField& wrong = GetParam();
  const Error error = error_after([&](Json& json) {
    const Json::json_pointer pointer(wrong.pointer);
    if (wrong.value == nullptr) {
      json.at(pointer.parent_pointer()).erase(pointer.back());
    } else {
      json[pointer] = Json::parse(wrong.value);
    }
  });
  EXPECT_EQ(error.code(), wrong.code) << error.what();
  EXPECT_THAT(error.what(), AllOf(HasSubstr("T"), HasSubstr(wrong.named)));
}

constexpr auto kCorrupt = ErrorCode::kCorrupt;
constexpr auto kUnsupported = ErrorCode::kUnsupported;
INSTANTIATE_TEST_SUITE_P(
    Fields, WrongFieldTest,
    ::testing::Values(
        WrongField{"/model", nullptr, kCorrupt, "'model'"},
        WrongField{"/model", "[]", kCorrupt, "model.vocab"},
        WrongField{"/model/vocab", nullptr, kCorrupt, "model.vocab"},
        WrongField{"/model/vocab", "[]", kCorrupt, "model.vocab"},
        WrongField{"/model/merges", "{}", kCorrupt, "model.merges"},
        WrongField{"/model/merges", nullptr, kCorrupt, "model.merges"},
        WrongField{"/model/vocab/a", "-1", kCorrupt, "model.vocab"},
        WrongField{"/model/vocab/a", "1.5", kCorrupt, "model.vocab"},
        WrongField{"/model/vocab/a", "\"1\"", kCorrupt, "model.vocab"},
        WrongField{"/model/vocab/a", "4294967296", kCorrupt, "model.vocab"},
        WrongField{"/model/vocab/a", "[1]", kCorrupt, "model.vocab"},
        WrongField{"/model/vocab/a", "{\"b\":1}", kCorrupt, "model.vocab"},
        WrongField{"/model/vocab/a", "0", kCorrupt, "same id"},
        WrongField{"/model/vocab/a", nullptr, kUnsupported, "0x61"},
        WrongField{"/model/merges/3", "\"ab\"", kCorrupt, "model.merges', entry 3"},
        WrongField{"/model/merges/3", "\"a b c\"", kCorrupt, "model.merges', entry 3"},
        WrongField{"/model/merges/3", "[\"a\"]", kCorrupt, "model.merges', entry 3"},
        WrongField{"/model/merges/3", "[\"a\",1]", kCorrupt, "model.merges', entry 3"},
        WrongField{"/model/merges/3", "7", kCorrupt, "model.merges', entry 3"},
        WrongField{"/model/merges/3", "\"q q\"", kCorrupt, "model.merges', entry 3"},
        WrongField{"/model/type", "\"WordPiece\"", kUnsupported, "model.type"},
        WrongField{"/model/byte_fallback", "true", kUnsupported, "model.byte_fallback"},
        WrongField{"/model/byte_fallback", "1", kCorrupt, "byte_fallback"},
        WrongField{"/model/dropout", "0.1", kUnsupported, "model.dropout"},
        WrongField{"/model/unk_token", "\"<unk>\"", kUnsupported, "model.unk_token"},
        WrongField{"/normalizer", "{\"type\":\"NFC\"}", kUnsupported, "normalizer"},
        WrongField{"/decoder", nullptr, kCorrupt, "decoder"},
        WrongField{"/decoder/type", "\"Metaspace\"", kUnsupported, "Metaspace"},
        WrongField{"/pre_tokenizer", nullptr, kCorrupt, "pre_tokenizer"},
        WrongField{"/pre_tokenizer/type", "\"Metaspace\"", kUnsupported, "Metaspace"},
        WrongField{"/pre_tokenizer/pretokenizers", "3", kCorrupt, "pretokenizers"},
        WrongField{"/pre_tokenizer/pretokenizers/0/behavior", "\"Removed\"", kUnsupported,
                   "Removed"},
        WrongField{"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"(\"", kCorrupt, "regular"},
        WrongField{"/pre_tokenizer/pretokenizers/1/add_prefix_space", "true", kUnsupported,
                   "add_prefix_space"},
        WrongField{"/post_processor", R"({"type":"BertProcessing"})", kUnsupported,
                   "post_processor"},
        WrongField{"/added_tokens", "7", kCorrupt, "added_tokens"},
        WrongField{"/added_tokens/1", "7", kCorrupt, "entry 1"},
        WrongField{"/added_tokens/1/id", "-5", kCorrupt, "entry 1"},
        WrongField{"/added_tokens/1/id", "3", kCorrupt, "contradicts"},
        WrongField{"/added_tokens/1/content", "null", kCorrupt, "content"},
        WrongField{"/added_tokens/1/content", "\"<think>\"", kCorrupt, "appears twice"},
        WrongField{"/added_tokens/1/special", "\"yes\"", kCorrupt, "special"}));

TEST(TokenizerBuildTest, RefusesWhatIsNoJsonAndDuplicateKeys) {
  for (const char* text : {"", "{", "[]", "7", "{\"model\":1,\"model\":2}", "\xFF", "{} x"}) {
    try {
      build_tokenizer(text, {}, "T");
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << text;
    }
  }
}

TEST(TokenizerBuildTest, RefusesADeeplyNestedFile) {
  const std::string deep = "{\"model\":" + std::string(10000, '[') + std::string(10000, ']') + "}";
  try {
    build_tokenizer(deep, {}, "T");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("nested"));
  }
}

TEST(TokenizerBuildTest, RefusesAMalformedConfigurationByField) {
  const auto none = [](Json&) {};
  EXPECT_THAT(error_after(none, R"({"added_tokens_decoder":[]})").what(),
              HasSubstr("added_tokens_decoder"));
  EXPECT_THAT(error_after(none, R"({"added_tokens_decoder":{"x":{"content":"<x>"}}})").what(),
              HasSubstr("'x'"));
  EXPECT_THAT(error_after(none, "{").what(), HasSubstr("tokenizer_config.json"));
}

TEST(TokenizerBuildTest, ReadsMergesAsStringsAndAsPairs) {
  Json json = small();
  const Json pairs = json["model"]["merges"];
  Json strings = Json::array();
  for (const Json& pair : pairs) {
    strings.push_back(pair[0].get<std::string>() + " " + pair[1].get<std::string>());
  }
  json["model"]["merges"] = strings;
  const TokenizerParts a = build_tokenizer(small().dump(), {}, "T");
  const TokenizerParts b = build_tokenizer(json.dump(), {}, "T");
  BpeScratch scratch;
  for (const char* piece : {" lighthouse", "stairs", "漢字漢字", "\xC3\xA9\xC3\xA9"}) {
    std::vector<int32_t> from_a, from_b;
    a.bpe.encode(piece, scratch, from_a);
    b.bpe.encode(piece, scratch, from_b);
    EXPECT_EQ(from_a, from_b) << piece;
  }
}

}  // namespace
}  // namespace glmoe
