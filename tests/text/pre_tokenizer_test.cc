// The hand-written splitter must cut where the regular expression cuts.
#include "text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace glmoe {
namespace {

using Pieces = std::vector<std::string>;

PreTokenizer make(std::string_view pattern) {
  const Json json = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"},
         {"pattern", {{"Regex", std::string(pattern)}}},
         {"behavior", "Isolated"},
         {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  return PreTokenizer(json, "test");
}

Pieces split(const PreTokenizer& pre_tokenizer, std::string_view text) {
  Pieces pieces;
  RegexScratch scratch;
  pre_tokenizer.split(text, scratch, [&](std::string_view p) { pieces.emplace_back(p); });
  return pieces;
}

class PreTokenizerTest : public ::testing::Test {
 protected:
  const PreTokenizer by_hand_ = make(kGlmPattern);
  // The same pattern in another spelling, so that it goes to the engine.
  const PreTokenizer by_regex_ = make("(?:" + std::string(kGlmPattern) + ")");
};

bool matches(const Regex& regex, uint32_t code_point) {
  static RegexScratch scratch;
  std::string text;
  append_utf8(text, code_point);
  Regex::Match match;
  return regex.find(text, 0, scratch, match);
}

// Whether the engine has the character in the same class as our tables, whose Unicode is newer.
bool known_alike(uint32_t c) {
  static const CharClasses classes;
  static const Regex letter("\\p{L}", "test"), number("\\p{N}", "test");
  const CharClass kind = classes.of(c);
  return matches(letter, c) == (kind == CharClass::kLetter) &&
         matches(number, c) == (kind == CharClass::kNumber);
}

// One character drawn from many scripts, from all of Unicode now and then.
uint32_t random_character(uint64_t seed, uint64_t index) {
  static const std::u32string kLikely =
      U"  \n\r\t''sStTmMdDlLrReEvVaz019.,!?-éßſñж漢かカ한नम\u0301\u0640ש\u00a0\u3000\u2003\u200d"
      U"\u180e\u2028\u202f\u000b\u000c😀½²Ⅷ٣\u212a𝟙"
      U"\x85\x1c";
  const double choice = random_uniform(seed, 0, index), value = random_uniform(seed, 1, index);
  if (choice < 0.9) {
    return kLikely[static_cast<size_t>(value * static_cast<double>(kLikely.size()))];
  }
  const auto c = static_cast<uint32_t>(value * (choice < 0.97 ? 0x3000 : 0x110000));
  return (c >= 0xD800 && c < 0xE000) || !known_alike(c) ? '?' : c;
}

TEST_F(PreTokenizerTest, ClassesDifferFromTheEnginesOnlyForCharactersItDoesNotHave) {
  const Regex unassigned("\\p{Cn}", "test");
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    ASSERT_TRUE(known_alike(c) || matches(unassigned, c)) << std::hex << c;
  }
}

TEST_F(PreTokenizerTest, SplitsRandomTextsByHandAsTheRegularExpressionDoes) {
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    std::string text;
    const auto length = 1 + seed % 40;
    for (uint64_t i = 0; i < length; ++i) append_utf8(text, random_character(seed, i));
    const Pieces pieces = split(by_hand_, text);
    ASSERT_EQ(pieces, split(by_regex_, text)) << "seed " << seed << ": " << Json(text);
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    ASSERT_EQ(all, text);
  }
}

TEST_F(PreTokenizerTest, SplitsAllShortTextsOfAFewCharactersAlike) {
  const std::string_view alphabet[] = {" ", "\n", "\r", "\t", "'", "s", "L", "1", ".", "\u00e9"};
  constexpr size_t kCount = std::size(alphabet);
  for (size_t code = 0; code < kCount * kCount * kCount * kCount; ++code) {
    std::string text;
    for (size_t rest = code, i = 0; i < 4; ++i, rest /= kCount) text += alphabet[rest % kCount];
    ASSERT_EQ(split(by_hand_, text), split(by_regex_, text)) << Json(text);
  }
}

TEST_F(PreTokenizerTest, SplitsAsThePatternReads) {
  EXPECT_EQ(split(by_hand_, "I'LL pay  $1234 now!\n\n ok"),
            (Pieces{"I", "'LL", " pay", " ", " $", "123", "4", " now", "!\n\n", " ok"}));
  EXPECT_EQ(split(by_hand_, ""), Pieces{});
  EXPECT_EQ(split(by_hand_, "x \n \n  y"), (Pieces{"x", " \n \n", " ", " y"}));
}

TEST(PreTokenizerStepsTest, LiteralSplitAndGpt2PatternFollowEachOther) {
  const Json json = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"String", "--"}}}, {"behavior", "Isolated"}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}}}};
  EXPECT_EQ(split(PreTokenizer(json, "test"), "it's--12345 x"),
            (Pieces{"it", "'s", "--", "12345", " x"}));
}

}  // namespace
}  // namespace glmoe
