#include "serve/access_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace glmoe::serve {
namespace {

RequestRecord sample() {
  RequestRecord record{.request_id = "req-1",
                       .peer = "127.0.0.1",
                       .method = "POST",
                       .route = "/v1/completions",
                       .path = "/v1/completions",
                       .status = 200,
                       .ms = 12.34};
  record.notes = {.prompt_tokens = 7, .completion_tokens = 3, .finish_reason = "stop"};
  return record;
}

TEST(AccessLog, SaysWhoGotWhatAndHowLongItTook) {
  EXPECT_EQ(access_line(sample()),
            "POST /v1/completions 200 12.3 ms prompt=7 completion=3 finish=stop id=req-1 "
            "peer=127.0.0.1");
}

TEST(AccessLog, StaysOneLineWhateverAPathHolds) {
  RequestRecord record = sample();
  record.path = "/a\nfake line\x1b[31m\xff";
  const std::string line = access_line(record);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_THAT(line, ::testing::HasSubstr("\\x0afake line\\x1b[31m\\xff"));
  EXPECT_EQ(Json::parse(access_json(record))["path"].get<std::string>().find('\x1b'), 12u);
}

TEST(AccessLog, HasOneJsonObjectALine) {
  RequestRecord record = sample();
  record.cancelled = CancelReason::kClientGone;
  record.error_code = "queue_full";
  const std::string line = access_json(record);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const Json json = Json::parse(line);
  EXPECT_EQ(json["request_id"], "req-1");
  EXPECT_EQ(json["prompt_tokens"], 7);
  EXPECT_EQ(json["cancelled"], "client_gone");
  EXPECT_EQ(json["error"], "queue_full");
  EXPECT_FALSE(json.contains("cached_tokens"));
}

}  // namespace
}  // namespace glmoe::serve
