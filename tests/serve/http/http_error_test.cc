#include "serve/http/http_error.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace glmoe::serve {
namespace {

TEST(HttpError, HasOpenAisForm) {
  const std::string body = error_body(
      {.status = 400, .message = "n: at most 128", .code = "invalid_value", .param = "n"},
      ErrorStyle::kOpenAi);
  EXPECT_EQ(body, R"({"error":{"message":"n: at most 128","type":"invalid_request_error",)"
                  R"("param":"n","code":"invalid_value"}})");
  const Json bare = Json::parse(error_body({.status = 404, .message = "x"}, ErrorStyle::kOpenAi));
  EXPECT_TRUE(bare["error"]["param"].is_null());
  EXPECT_TRUE(bare["error"]["code"].is_null());
}

TEST(HttpError, HasAnthropicsForm) {
  EXPECT_EQ(error_body({.status = 503, .message = "busy"}, ErrorStyle::kAnthropic),
            R"({"type":"error","error":{"type":"overloaded_error","message":"busy"}})");
}

TEST(HttpError, StaysJsonWhateverTheMessageHolds) {
  const std::string body =
      error_body({.message = std::string("\"\n\xff\x00", 4)}, ErrorStyle::kOpenAi);
  EXPECT_TRUE(Json::accept(body)) << body;
}

TEST(HttpError, KeepsTheTextOfInternalErrorsFromClients) {
  const HttpError internal =
      http_error_from(Error(ErrorCode::kInternal, "src/x.cc:12: check failed at 0x7ffe"));
  EXPECT_EQ(internal.status, 500);
  EXPECT_EQ(internal.message.find("src/"), std::string::npos);
  EXPECT_EQ(http_error_from(Error(ErrorCode::kInvalidArgument, "n: bad")).status, 400);
  EXPECT_EQ(http_error_from(Error(ErrorCode::kUnavailable, "full")).status, 503);
  EXPECT_EQ(http_error_from(Error(ErrorCode::kIo, "/etc/x")).status, 500);
}

}  // namespace
}  // namespace glmoe::serve
