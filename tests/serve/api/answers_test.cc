#include "serve/api/answers.h"

#include <gmock/gmock.h>

#include <set>

#include "serve/fake_text.h"

namespace glmoe::serve {
namespace {

using testing::delta_of;
using testing::error_of;
using testing::FakeText;

std::vector<Request> two_requests() {
  Request request;
  request.sampling.n = 2;
  request.prompt.token_ids = {1, 2, 3};
  return {request, request};
}

TEST(AnswerCollector, NumbersChoicesAndCounts) {
  const FakeText text;
  AnswerCollector answers(two_requests(), text, {.keep = true});
  EXPECT_EQ(answers.num_choices(), 4u);
  EXPECT_EQ(answers.take(1, delta_of("x", 2, FinishReason::kNone, 1), {}).choice, 3u);
  answers.take(1, delta_of("y", 1, FinishReason::kStop, 1), {.num_cached_tokens = 2});
  EXPECT_EQ(answers.take(0, delta_of("z", 1), {.num_cached_tokens = 1}).choice, 0u);
  EXPECT_EQ(answers.answer(3).content(), "xy");
  EXPECT_EQ(answers.answer(3).num_tokens, 3);
  EXPECT_EQ(answers.answer(3).finish_reason, FinishReason::kStop);
  EXPECT_EQ(answers.num_tokens(), 4);
  EXPECT_EQ(answers.num_prompt_tokens(), 6);
  EXPECT_EQ(answers.num_cached_tokens(), 3);
}

TEST(AnswerCollector, KeepsNothingOfAStream) {
  const FakeText text;
  AnswerCollector answers(two_requests(), text, {});
  EXPECT_EQ(answers.take(0, delta_of("x", 2), {}).delta.content, "x");
  EXPECT_TRUE(answers.answer(0).parts.empty());
  EXPECT_TRUE(answers.answer(0).token_ids.empty());
  EXPECT_EQ(answers.answer(0).num_tokens, 2);
}

TEST(AnswerCollector, HasAnErrorInsteadOfAnEmptyAnswer) {
  const FakeText text;
  AnswerCollector answers(two_requests(), text, {});
  answers.take(0, delta_of("", 0, FinishReason::kTimeout), {});
  EXPECT_EQ(error_of([&] { answers.check_not_empty_handed(); }).status, 408);
  answers.take(1, delta_of("x", 1), {});
  EXPECT_NO_THROW(answers.check_not_empty_handed());
}

TEST(StopCause, TellsTheClientsOwnStopsFromTheModelsEnd) {
  SamplingParams sampling;
  sampling.stop = {"END", "7"};
  sampling.stop_token_ids = {7, 9};
  const auto kind = [&](const std::string& reason, FinishReason finish = FinishReason::kStop) {
    Answer answer;
    answer.finish_reason = finish;
    answer.stop_reason = reason;
    return stop_cause(answer, sampling).kind;
  };
  EXPECT_EQ(kind("END"), StopCause::Kind::kString);
  EXPECT_EQ(kind("9"), StopCause::Kind::kToken);
  EXPECT_EQ(kind("7"), StopCause::Kind::kString);  // the string is looked at first
  EXPECT_EQ(kind("12"), StopCause::Kind::kNone);
  EXPECT_EQ(kind(""), StopCause::Kind::kNone);
  EXPECT_EQ(kind("END", FinishReason::kLength), StopCause::Kind::kNone);
}

TEST(RandomId, IsDifferentEachTime) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(random_id("x-"));
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_EQ(ids.begin()->size(), 26u);
}

TEST(TokenText, IsAlwaysUtf8) {
  EXPECT_EQ(token_text("a\xE2\x82\xAC"), "a\xE2\x82\xAC");
  EXPECT_TRUE(is_whole_utf8("a\xE2\x82\xAC"));
  EXPECT_FALSE(is_whole_utf8("\x82"));
  EXPECT_EQ(token_text("\x82"), "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace glmoe::serve
