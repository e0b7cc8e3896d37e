#include "serve/client/failure.h"

#include <gtest/gtest.h>

namespace glmoe::serve {
namespace {

TEST(StatusFailure, HasTheServersMessageAndItsWaitingTime) {
  const Failure failure = status_failure(429, R"({"error":{"message":"too many"}})", "7");
  EXPECT_EQ(failure.kind, FailureKind::kStatus);
  EXPECT_EQ(failure.status, 429);
  EXPECT_NE(failure.message.find("too many"), std::string::npos);
  EXPECT_EQ(failure.retry_after_s, 7.0);
}

TEST(StatusFailure, TakesBodiesOfEveryKind) {
  EXPECT_NE(status_failure(502, "<html>bad gateway\nmore", "").message.find("<html>bad gateway"),
            std::string::npos);
  EXPECT_EQ(status_failure(500, "", "Wed, 21 Oct 2026 07:28:00 GMT").retry_after_s, std::nullopt);
  EXPECT_EQ(status_failure(500, "", "-1").retry_after_s, std::nullopt);
  EXPECT_NE(status_failure(422, R"({"detail":[{"loc":["body"]}]})", "").message.find("loc"),
            std::string::npos);
}

}  // namespace
}  // namespace glmoe::serve
