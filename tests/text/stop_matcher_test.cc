// Stop strings over every split of the text.
#include "text/stop_matcher.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace glmoe {
namespace {

struct Outcome {
  std::string text, stop;
  bool operator==(const Outcome&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  return out << '"' << outcome.text << "\" stopped by \"" << outcome.stop << '"';
}

// Straight from the contract: the stop string that ends first, the longest of those.
Outcome expected(const std::string& text, const std::vector<std::string>& stops, bool include) {
  for (size_t end = 1; end <= text.size(); ++end) {
    const std::string* best = nullptr;
    for (const std::string& stop : stops) {
      if (stop.empty() || !std::string_view(text).substr(0, end).ends_with(stop)) continue;
      if (best == nullptr || stop.size() > best->size()) best = &stop;
    }
    if (best != nullptr) return {text.substr(0, include ? end : end - best->size()), *best};
  }
  return {text, ""};
}

// Feeds `text` cut where `cuts` has a bit.
Outcome feed(StopMatcher matcher, const std::string& text, uint64_t cuts) {
  Outcome outcome;
  std::string piece;
  const auto send = [&] {
    const auto result = matcher.feed(piece);
    outcome.text += result.text;
    if (result.matched) outcome.stop = result.stop_string;
    piece.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    piece += text[i];
    if (cuts >> i & 1) send();
  }
  send();
  outcome.text += matcher.flush();
  return outcome;
}

TEST(StopMatcherTest, FindsStopStringsOverEverySplit) {
  const std::string text = "xaababcabb";
  const std::vector<std::vector<std::string>> all_stops = {
      {"abab"}, {"ababc", "bab"}, {"abc", "c"}, {"aab", "ab"}, {"zzz"}, {"", "x"}, {"cabbb", "bb"}};
  for (const auto& stops : all_stops) {
    for (const bool include : {false, true}) {
      const Outcome wanted = expected(text, stops, include);
      for (uint64_t cuts = 0; cuts < (1u << text.size()); ++cuts) {
        ASSERT_EQ(feed(StopMatcher(stops, include), text, cuts), wanted) << "cuts " << cuts;
      }
    }
  }
}

TEST(StopMatcherTest, FindsRandomStopStringsInRandomTexts) {
  int stopped = 0;
  for (uint64_t seed = 0; seed < 5000; ++seed) {
    uint64_t drawn = 0;
    const auto draw = [&](double limit) {
      return static_cast<size_t>(random_uniform(seed, 0, drawn++) * limit);
    };
    const auto word = [&](size_t length) {
      std::string out;
      for (size_t i = 0; i < length; ++i) out += "abc"[draw(3)];
      return out;
    };
    std::vector<std::string> stops(1 + draw(3));
    for (std::string& stop : stops) stop = word(2 + draw(5));
    const std::string text = word(40);
    const Outcome wanted = expected(text, stops, seed % 2 == 0);
    const uint64_t cuts = draw(1 << 20) << 20 | draw(1 << 20);
    ASSERT_EQ(feed(StopMatcher(stops, seed % 2 == 0), text, cuts), wanted) << "seed " << seed;
    stopped += !wanted.stop.empty();
  }
  EXPECT_GT(stopped, 1000);
  EXPECT_LT(stopped, 5000);
}

TEST(StopMatcherTest, HoldsBackOnlyWhatCouldBeAStopString) {
  StopMatcher matcher({"</s>"});
  EXPECT_EQ(matcher.feed("text <").text, "text ");
  EXPECT_EQ(matcher.feed("/").text, "");
  EXPECT_EQ(matcher.feed("b>").text, "</b>");
  EXPECT_EQ(matcher.feed("</").text, "");
  EXPECT_EQ(matcher.flush(), "</");
}

TEST(StopMatcherTest, DropsEverythingAfterAMatch) {
  StopMatcher matcher({"stop"});
  EXPECT_EQ(matcher.feed("go stop on").text, "go ");
  const auto result = matcher.feed("more stop");
  EXPECT_FALSE(result.matched);
  EXPECT_EQ(result.text + matcher.flush(), "");
}

TEST(StopMatcherTest, LetsEverythingThroughWithoutStopStrings) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.feed("all").text, "all");
  EXPECT_EQ(matcher.flush(), "");
}

}  // namespace
}  // namespace glmoe
