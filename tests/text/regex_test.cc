// Patterns as tokenizer.json has them: what is read, what is refused, and that matching is bounded.
#include "text/regex.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace glmoe {
namespace {

// What the pattern matches first, or "-".
std::string first(std::string_view pattern, std::string_view text, size_t start = 0) {
  RegexScratch scratch;
  Regex::Match match;
  if (!Regex(pattern, "test").find(text, start, scratch, match)) return "-";
  return std::string(text.substr(match.begin, match.end - match.begin));
}

TEST(RegexTest, MatchesUnicodeProperties) {
  EXPECT_EQ(first("\\p{L}+", "12 Жук漢 x"), "Жук漢");
  EXPECT_EQ(first("\\p{N}{1,3}", "a٣½Ⅷ9"), "٣½Ⅷ");
  EXPECT_EQ(first("(?i:'s)", "'ſ"), "'ſ");
  EXPECT_EQ(first("\\x{41}+[\\p{L}]+", "_AAb_"), "AAb");
  EXPECT_EQ(first("b", "abab", 2), "b");
  EXPECT_EQ(first("z", "abab"), "-");
}

TEST(RegexTest, KnowsUnicodeWhiteSpaceAndNothingElse) {
  for (const char* space :
       {" ", "\t", "\v", "\r", "\u0085", "\u00a0", "\u1680", "\u2028", "\u3000"}) {
    EXPECT_EQ(first("\\s", space), space);
    EXPECT_EQ(first("[^\\s]", space), "-");
    EXPECT_EQ(first("\\S", space), "-");
  }
  for (const char* other : {"\u180e", "\u200b", "\x1c", "\ufeff"}) {
    EXPECT_EQ(first("\\s", other), "-");
    EXPECT_EQ(first("\\S", other), other);
  }
}

TEST(RegexTest, TakesALiteralAsItStands) {
  RegexScratch scratch;
  Regex::Match match;
  ASSERT_TRUE(Regex::literal("a.(b", "test").find("axa.(b", 0, scratch, match));
  EXPECT_EQ(match.begin, 2u);
  EXPECT_EQ(match.end, 6u);
}

ErrorCode code_of(std::string_view pattern) {
  try {
    const Regex regex(pattern, "test");
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "accepted: " << pattern;
  return ErrorCode::kInternal;
}

TEST(RegexTest, RefusesWhatTheEnginesReadDifferently) {
  for (const char* pattern : {"\\w+", "\\bx", "(a)\\1", "^a", "a$", "[a[b]]", "[a&&b]", "a{2}+"}) {
    EXPECT_EQ(code_of(pattern), ErrorCode::kUnsupported) << pattern;
  }
}

TEST(RegexTest, RefusesMalformedPatterns) {
  for (const char* pattern : {"(", "[a", "a)", "\\p{Nope}", "(?<", "\\"}) {
    EXPECT_EQ(code_of(pattern), ErrorCode::kCorrupt) << pattern;
  }
  EXPECT_EQ(code_of(std::string(20000, 'a')), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of(std::string(1000, '(') + std::string(1000, ')')), ErrorCode::kCorrupt);
}

TEST(RegexTest, GivesUpOnAMatchThatWouldTakeForever) {
  RegexScratch scratch;
  Regex::Match match;
  const Regex regex("(?:a+)+b", "test");
  const std::string text(60, 'a');
  bool found = true;
  try {
    found = regex.find(text + "c", 0, scratch, match);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return;
  }
  EXPECT_FALSE(found);
}

}  // namespace
}  // namespace glmoe
