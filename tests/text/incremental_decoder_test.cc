// Pieces of text, put together, are what decode() makes of all the ids.
#include "text/incremental_decoder.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/rng.h"
#include "text/unicode.h"

namespace glmoe {
namespace {

class IncrementalDecoderTest : public ::testing::Test {
 protected:
  // Also checks that every piece is whole UTF-8.
  std::string feed_all(IncrementalDecoder& decoder, const std::vector<int32_t>& ids) {
    std::string text;
    for (const int32_t id : ids) {
      const std::string piece = decoder.feed(id);
      EXPECT_FALSE(find_invalid_utf8(piece).has_value());
      text += piece;
    }
    return text + decoder.flush();
  }
  const Tokenizer tokenizer_ = Tokenizer::from_folder(GLMOE_MODELS "/glm4-moe-demo");
};

TEST_F(IncrementalDecoderTest, GivesTheTextOfEveryReferenceInPieces) {
  const Json cases = read_json_file(GLMOE_TEST_DATA "/text/tokenizer_cases.json");
  for (const bool skip_special : {false, true}) {
    IncrementalDecoder decoder(&tokenizer_, skip_special);
    for (const Json& entry : cases["tokenizers"]["demo"]["ids"]) {
      const auto ids = entry.get<std::vector<int32_t>>();
      ASSERT_EQ(feed_all(decoder, ids), tokenizer_.decode(ids, skip_special)) << entry;
    }
  }
}

TEST_F(IncrementalDecoderTest, GivesTheTextOfRandomIdsInPieces) {
  const auto size = static_cast<double>(tokenizer_.vocab_size() + 3);
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    std::vector<int32_t> ids(1 + seed % 30);
    for (size_t i = 0; i < ids.size(); ++i) {  // mostly single bytes, so seldom UTF-8
      const double limit = random_uniform(seed, 0, i) < 0.8 ? 260.0 : size;
      ids[i] = static_cast<int32_t>(random_uniform(seed, 1, i) * limit) - 1;
    }
    for (const bool skip_special : {false, true}) {
      IncrementalDecoder decoder(&tokenizer_, skip_special);
      ASSERT_EQ(feed_all(decoder, ids), tokenizer_.decode(ids, skip_special)) << "seed " << seed;
    }
  }
}

TEST_F(IncrementalDecoderTest, WaitsForTheRestOfACharacter) {
  std::vector<int32_t> ids;
  for (const char byte : std::string("\xF0\x9F\x98\x80")) {
    ids.push_back(tokenizer_.token_id(std::string(1, byte)).value());
  }
  IncrementalDecoder decoder(&tokenizer_);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(decoder.feed(ids[i]), "");
  EXPECT_EQ(decoder.feed(ids[3]), "😀");
  decoder.feed(ids[0]);
  EXPECT_EQ(decoder.flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder.flush(), "");
}

TEST(IncrementalDecoderWithoutTokenizerTest, HasNoText) {
  IncrementalDecoder decoder(nullptr);
  EXPECT_EQ(decoder.feed(1) + decoder.flush(), "");
}

}  // namespace
}  // namespace glmoe
