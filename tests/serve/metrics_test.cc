#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace glmoe::serve {
namespace {

using ::testing::HasSubstr;

TEST(ServerMetrics, CountRequestsByRouteAndStatus) {
  ServerMetrics metrics;
  RequestRecord record{.route = "/v1/completions", .path = "/v1/completions", .status = 200};
  metrics.on_request(record);
  metrics.on_request(record);
  // Paths of strangers make no series of their own.
  metrics.on_request({.path = "/a", .status = 404, .error_code = "unknown_path"});
  metrics.on_request({.path = "/b", .status = 404, .error_code = "unknown_path"});
  const std::string text = metrics.text();
  EXPECT_THAT(text,
              HasSubstr("glmoe_http_requests_total{route=\"/v1/completions\",status=\"200\"} 2"));
  EXPECT_THAT(text, HasSubstr("glmoe_http_requests_total{route=\"none\",status=\"404\"} 2"));
  EXPECT_THAT(text, HasSubstr("glmoe_requests_rejected_total{reason=\"unknown_path\"} 2"));
}

TEST(ServerMetrics, CountClientsThatLeft) {
  ServerMetrics metrics;
  metrics.on_request({.status = 499, .cancelled = CancelReason::kClientGone});
  metrics.on_request({.status = 503, .cancelled = CancelReason::kShutdown});
  EXPECT_THAT(metrics.text(), HasSubstr("glmoe_client_disconnects_total 1"));
}

TEST(ServerMetrics, MeasureEachTokenOfABatchOfTokens) {
  ServerMetrics metrics;
  metrics.on_first_token(0.03);
  metrics.on_tokens(0.08, 4);
  metrics.on_tokens(0.5, 0);
  metrics.on_finished("stop", 0.002, 1.5);
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("glmoe_time_to_first_token_seconds_count 1"));
  EXPECT_THAT(text, HasSubstr("glmoe_inter_token_latency_seconds_count 4"));
  EXPECT_THAT(text, HasSubstr("glmoe_inter_token_latency_seconds_bucket{le=\"0.025\"} 4"));
  EXPECT_THAT(text, HasSubstr("glmoe_inter_token_latency_seconds_bucket{le=\"0.01\"} 0"));
  EXPECT_THAT(text, HasSubstr("glmoe_request_queue_time_seconds_sum 0.002"));
  EXPECT_THAT(text, HasSubstr("glmoe_e2e_request_latency_seconds_count 1"));
  EXPECT_THAT(text, HasSubstr("glmoe_request_success_total{finished_reason=\"stop\"} 1"));
  EXPECT_THAT(text, HasSubstr("glmoe_request_success_total{finished_reason=\"timeout\"} 0"));
}

}  // namespace
}  // namespace glmoe::serve
