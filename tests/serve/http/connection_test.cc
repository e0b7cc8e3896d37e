// What a connection does with well-formed clients, slow ones and those that leave.
#include "serve/http/connection.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "serve/http_fixture.h"

namespace glmoe::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

class Connections : public HttpFixture {};

TEST_F(Connections, AnswerRequestsOneAfterTheOther) {
  start();
  RawClient client(port);
  for (int i = 0; i < 3; ++i) {
    client.send(get("/hello"));
    const RawResponse response = client.read_response();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "hello");
    EXPECT_EQ(response.headers.at("connection"), "keep-alive");
  }
}

TEST_F(Connections, AnswerPipelinedRequestsInTheirOrder) {
  start();
  RawClient client(port);
  std::string all;
  for (int i = 0; i < 20; ++i) all += post("/echo", "body " + std::to_string(i)) + "\r\n";
  client.send(all);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(client.read_response().body, "body " + std::to_string(i));
  }
}

TEST_F(Connections, TakeRequestsInPiecesOfOneByte) {
  start();
  RawClient client(port);
  for (const char byte : post("/echo", "slowly")) {
    client.send({&byte, 1});
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(client.read_response().body, "slowly");
}

TEST_F(Connections, TakeChunkedBodiesAndIgnoreTrailers) {
  start();
  const RawResponse response =
      ask("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n4;name=value\r\ndefg\r\n0\r\nAuthorization: Bearer sneaked\r\n\r\n");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "abcdefg");
}

TEST_F(Connections, AnswerExpectContinueBeforeTheBody) {
  start();
  RawClient client(port);
  client.send(
      "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 100);
  client.send("body");
  EXPECT_EQ(client.read_response().body, "body");
}

TEST_F(Connections, SayNothingOfABodyThatWillBeRefused) {
  service.limits.max_body_bytes = 10;
  start();
  EXPECT_EQ(ask("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n"
                "Expect: 100-continue\r\n\r\n")
                .status,
            413);
}

TEST_F(Connections, CloseAfterHttp10AndWhenAsked) {
  start();
  RawClient old(port);
  old.send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.read_response().headers.at("connection"), "close");
  old.read_to_end();
  EXPECT_TRUE(old.ended());
  RawClient polite(port);
  polite.send(get("/hello", "Connection: close\r\n"));
  EXPECT_EQ(polite.read_response().headers.at("connection"), "close");
  polite.read_to_end();
  EXPECT_TRUE(polite.ended());
}

TEST_F(Connections, AnswerHeadWithTheLengthAlone) {
  start();
  RawClient client(port);
  client.send("HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n");
  const RawResponse response = client.read_response(/*head_only=*/true);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("content-length"), "5");
  client.send(get("/hello"));
  EXPECT_EQ(client.read_response().body, "hello");  // nothing of the first body lies between
}

TEST_F(Connections, RefuseUnknownPathsAndMethodsInTheErrorFormOfTheApi) {
  start();
  const RawResponse unknown = ask(get("/nowhere"));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, HasSubstr(R"("code":"unknown_path")"));
  EXPECT_EQ(unknown.headers.at("content-type"), "application/json");
  const RawResponse wrong = ask("DELETE /hello HTTP/1.1\r\nHost: test\r\n\r\n");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "GET, HEAD, OPTIONS");
  EXPECT_THAT(ask(get("/v1/messages")).body, HasSubstr(R"({"type":"error")"));
}

TEST_F(Connections, HandOnAPlainRequestIdAndReplaceAnyOther) {
  start();
  EXPECT_EQ(ask(get("/hello", "X-Request-Id: my-id.7\r\n")).headers.at("x-request-id"), "my-id.7");
  const std::string own = ask(get("/hello", "X-Request-Id: a b\r\n")).headers.at("x-request-id");
  EXPECT_THAT(own, ::testing::StartsWith("req-"));
  EXPECT_NE(own, ask(get("/hello")).headers.at("x-request-id"));
}

TEST_F(Connections, AskForTheKeyEverywhereButOnPublicRoutes) {
  service.keys.add("secret", "test");
  start();
  for (const Route& route : service.router.routes()) {
    const std::string request = route.method == "GET" ? get(route.path) : post(route.path, "");
    const int wanted = route.access == Access::kPublic ? 200 : 401;
    EXPECT_EQ(ask(request).status, wanted) << route.path;
  }
  EXPECT_EQ(ask(get("/nowhere")).status, 401);
  EXPECT_EQ(ask(get("/hello", "Authorization: Bearer wrong\r\n")).status, 401);
  EXPECT_EQ(ask(get("/hello", "Authorization: Basic secret\r\n")).status, 401);
  EXPECT_EQ(ask(get("/hello", "Authorization: Bearer secret\r\n")).status, 200);
  EXPECT_EQ(ask(get("/hello", "X-Api-Key: secret\r\n")).status, 200);
}

TEST_F(Connections, RefuseABadKeyBeforeTheBodyIsSent) {
  service.keys.add("secret", "test");
  start();
  RawClient client(port);
  client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 401);
}

TEST_F(Connections, AnswerPreflightsOfAllowedOriginsOnly) {
  service.cors_origins = {"https://app.example"};
  service.keys.add("secret", "test");
  start();
  const std::string preflight =
      "OPTIONS /echo HTTP/1.1\r\nHost: test\r\nAccess-Control-Request-Method: POST\r\nOrigin: ";
  RawResponse allowed = ask(preflight + "https://app.example\r\n\r\n");
  EXPECT_EQ(allowed.status, 204);
  EXPECT_EQ(allowed.headers.at("access-control-allow-origin"), "https://app.example");
  EXPECT_EQ(
      ask(preflight + "https://evil.example\r\n\r\n").headers.count("access-control-allow-origin"),
      0u);
}

// The fastest of several: a busy machine delays some of them, a server that looks now and then all.
TEST_F(Connections, CancelWithinAHundredMillisecondsWhenTheClientCloses) {
  start();
  size_t num_requests = 0;
  for (const char* path : {"/wait", "/stream"}) {
    for (const bool hard : {false, true}) {
      auto fastest = steady_clock::duration::max();
      for (int i = 0; i < 5; ++i, ++num_requests) {
        RawClient client(port);
        client.send(post(path, ""));
        fastest =
            std::min(fastest, time_to_cancel([&] { hard ? client.reset() : client.close(); }));
      }
      EXPECT_LT(fastest, milliseconds(100)) << path << (hard ? " reset" : " closed");
    }
  }
  ASSERT_TRUE(wait_for([&] { return records.size() == num_requests; }));
  const std::lock_guard lock(mutex);
  EXPECT_THAT(cancellations, ::testing::Each(CancelReason::kClientGone));
  for (const RequestRecord& record : records) {
    EXPECT_EQ(record.cancelled, CancelReason::kClientGone);
  }
}

TEST_F(Connections, StillSendAnAnswerToAClientThatHasClosedItsSide) {
  start();
  RawClient client(port);
  client.send(get("/hello"));
  client.shutdown_send();
  EXPECT_EQ(client.read_response().body, "hello");
}

TEST_F(Connections, CancelByIdAndForAllWhileOthersGoOn) {
  start();
  RawClient first(port), second(port);
  first.send(post("/stream", "", "X-Request-Id: one\r\n"));
  second.send(post("/stream", "", "X-Request-Id: two\r\n"));
  while (num_waiting.load() < 2) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(service.in_flight.cancel("nobody", CancelReason::kAdminRequest), 0u);
  EXPECT_EQ(service.in_flight.cancel("one", CancelReason::kAdminRequest), 1u);
  const RawResponse ended = first.read_response();
  EXPECT_TRUE(ended.complete);
  EXPECT_THAT(ended.body, HasSubstr("data: cancelled\n\n"));
  EXPECT_EQ(num_waiting.load(), 1);
  service.in_flight.cancel_all(CancelReason::kShutdown);
  EXPECT_TRUE(second.read_response().complete);
  EXPECT_EQ(last_cancellation(), CancelReason::kShutdown);
}

TEST_F(Connections, CutOffWhoReadsTooSlowlyWithoutHoldingOthers) {
  service.limits.max_unsent_bytes = 64 << 10;
  service.limits.write_timeout = milliseconds(60'000);
  start();
  RawClient slow(port, /*receive_buffer=*/4096);
  slow.send(post("/flood", ""));
  // Others are answered in the meantime.
  for (int i = 0; i < 50; ++i) EXPECT_EQ(ask(get("/hello")).status, 200);
  ASSERT_TRUE(wait_for([&] { return !cancellations.empty(); }));
  EXPECT_EQ(last_cancellation(), CancelReason::kClientGone);
}

TEST_F(Connections, CutOffWhoTakesNothingForTheWriteTimeout) {
  service.limits.max_unsent_bytes = size_t{1} << 40;
  service.limits.write_timeout = milliseconds(200);
  start();
  RawClient slow(port, /*receive_buffer=*/4096);
  slow.send(post("/flood", ""));
  ASSERT_TRUE(wait_for([&] { return !cancellations.empty(); }, 20'000));
  EXPECT_EQ(last_cancellation(), CancelReason::kClientGone);
}

TEST_F(Connections, StreamHttp10WithoutChunks) {
  start();
  RawClient client(port);
  client.send("POST /stream HTTP/1.0\r\nX-Request-Id: old\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(client.read_until("data: first\n\n"));
  service.in_flight.cancel("old", CancelReason::kAdminRequest);
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(response.body, "data: first\n\ndata: cancelled\n\n");
}

TEST_F(Connections, HideWhatAHandlerThrows) {
  add("GET", "/broken", Access::kApi,
      [](const HttpRequest&, ResponseWriter&) -> boost::asio::awaitable<void> {
        throw std::runtime_error("at 0x7f001234 in /etc/secret");
      });
  start();
  const RawResponse response = ask(get("/broken"));
  EXPECT_EQ(response.status, 500);
  EXPECT_THAT(response.body, ::testing::Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace glmoe::serve
