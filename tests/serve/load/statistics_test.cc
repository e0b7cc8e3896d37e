#include "serve/load/statistics.h"

#include <gtest/gtest.h>

#include "glmoe/error.h"

namespace glmoe::serve {
namespace {

LoadRecord answered(double sent, double first, double end, int64_t tokens) {
  LoadRecord record;
  record.due_s = record.sent_s = sent;
  record.first_token_s = first;
  record.end_s = end;
  record.completion_tokens = tokens;
  record.prompt_tokens = 10;
  record.tokens_from_usage = true;
  record.finish_reason = "length";
  return record;
}

TEST(Percentile, LiesBetweenTheNearestRanks) {
  const std::vector<double> values = {1.0, 2.0, 3.0, 4.0, 5.0};
  EXPECT_DOUBLE_EQ(percentile(values, 0.0), 1.0);
  EXPECT_DOUBLE_EQ(percentile(values, 50.0), 3.0);
  EXPECT_DOUBLE_EQ(percentile(values, 90.0), 4.6);
  EXPECT_DOUBLE_EQ(percentile(values, 100.0), 5.0);
  EXPECT_DOUBLE_EQ(percentile({7.0}, 99.0), 7.0);
}

TEST(Distribution, OfNothingIsZero) {
  EXPECT_EQ(distribution_of({}).count, 0);
  const Distribution d = distribution_of({4.0, 2.0});
  EXPECT_DOUBLE_EQ(d.mean, 3.0);
  EXPECT_DOUBLE_EQ(d.stddev, 1.0);
  EXPECT_DOUBLE_EQ(d.max, 4.0);
}

TEST(Summary, FollowsTheDefinitionsOfTheLatencies) {
  LoadRecord record = answered(1.0, 1.5, 2.5, 11);
  record.gaps_ms = {100.0f, 50.0f};
  const LoadSummary summary = summarise({record}, {});
  EXPECT_DOUBLE_EQ(summary.ttft.mean, 500.0);
  EXPECT_DOUBLE_EQ(summary.e2e.mean, 1500.0);
  EXPECT_DOUBLE_EQ(summary.tpot.mean, 100.0);  // (1500 - 500) / (11 - 1)
  EXPECT_DOUBLE_EQ(summary.itl.mean, 75.0);
  EXPECT_DOUBLE_EQ(summary.duration_s, 1.5);
  EXPECT_DOUBLE_EQ(summary.output_token_rate, 11 / 1.5);
  EXPECT_DOUBLE_EQ(summary.total_token_rate, 21 / 1.5);
}

TEST(Summary, HasNoTimePerTokenForAnswersOfOneToken) {
  EXPECT_EQ(summarise({answered(0.0, 1.0, 1.0, 1)}, {}).tpot.count, 0);
  LoadRecord silent = answered(0.0, -1.0, 1.0, 0);
  EXPECT_EQ(summarise({silent}, {}).ttft.count, 0);
  EXPECT_EQ(summarise({silent}, {}).num_ok, 1);
}

TEST(Summary, CountsFailuresByKindAndLeavesThemOutOfLatencies) {
  LoadRecord busy = answered(0.0, -1.0, 9.0, 0), lost = busy, stopped = busy;
  busy.failure = {.kind = FailureKind::kStatus, .message = "first", .status = 429};
  lost.failure = {.kind = FailureKind::kTruncated, .message = "lost"};
  stopped.failure = {.kind = FailureKind::kCancelled, .message = "here"};
  LoadRecord busy_too = busy;
  busy_too.failure.message = "second";
  const LoadSummary summary =
      summarise({answered(0.0, 1.0, 2.0, 2), busy, busy_too, lost, stopped}, {});
  EXPECT_EQ(summary.num_ok, 1);
  EXPECT_EQ(summary.num_failed, 3);
  EXPECT_EQ(summary.num_cancelled, 1);
  EXPECT_EQ(summary.failures.at("status 429"), (std::pair<int64_t, std::string>(2, "first")));
  EXPECT_EQ(summary.failures.at("truncated").first, 1);
  EXPECT_EQ(summary.e2e.count, 1);
}

TEST(Summary, CountsOpenRequests) {
  const LoadSummary summary = summarise(
      {answered(0.0, 1.0, 2.0, 2), answered(1.0, 2.0, 3.0, 2), answered(2.0, 3.0, 4.0, 2)}, {});
  EXPECT_EQ(summary.max_concurrency, 2);  // the third begins as the first ends
  EXPECT_DOUBLE_EQ(summary.mean_concurrency, 1.5);
  EXPECT_DOUBLE_EQ(summary.sent_rate, 1.0);
}

TEST(Goodput, CountsWhatKeepsAllLimits) {
  const Goodput goodput = parse_goodput("ttft_ms:1000,tpot_ms:500,e2el_ms:3000", "--goodput");
  LoadRecord failed = answered(0.0, 0.5, 1.0, 5);
  failed.failure.kind = FailureKind::kServer;
  const LoadSummary summary = summarise({answered(0.0, 1.0, 2.0, 3),  // just good
                                         answered(0.0, 1.1, 2.0, 3), answered(0.0, 0.1, 2.0, 3),
                                         answered(0.0, 1.0, 3.5, 100), failed},
                                        goodput);
  EXPECT_EQ(summary.num_good, 1);
}

TEST(Goodput, RefusesWhatItDoesNotKnowAndNamesTheFlag) {
  for (const char* text : {"ttft:1", "ttft_ms", "ttft_ms:", "ttft_ms:x", "ttft_ms:0", "ttft_ms:-1",
                           "ttft_ms:1;tpot_ms:2", ",", "ttft_ms:nan", "ttft_ms:inf"}) {
    try {
      parse_goodput(text, "--goodput");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("--goodput"), std::string::npos);
    }
  }
  EXPECT_FALSE(parse_goodput("", "--goodput").any());
}

}  // namespace
}  // namespace glmoe::serve
