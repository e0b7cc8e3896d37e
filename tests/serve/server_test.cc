// The server from start to drained, with end points that need no engine.
#include "serve/server.h"

#include <gmock/gmock.h>

#include <atomic>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "base/error.h"
#include "serve/http/async_event.h"
#include "serve/raw_client.h"

namespace glmoe::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

ServerOptions quiet_options() {
  ServerOptions options;
  options.port = 0;
  options.admin_port = 0;
  options.log_requests = false;
  options.version = "1.2.3";
  return options;
}

class Serving : public ::testing::Test {
 protected:
  void start(const ServerOptions& options = quiet_options()) {
    server = std::make_unique<Server>(options);
    // Streams until it is cancelled or `release` is set.
    server->router().add(
        {.method = "POST",
         .path = "/generate",
         .handler = [this](const HttpRequest&,
                           ResponseWriter& response) { return generate(response); },
         .refused_while_draining = true});
    server->start();
    server->set_ready();
  }

  RawResponse ask(uint16_t port, const std::string& bytes) {
    RawClient client(port);
    client.send(bytes);
    return client.read_response();
  }

  boost::asio::awaitable<void> generate(ResponseWriter& response) {
    AsyncEvent cancelled(co_await boost::asio::this_coro::executor);
    response.on_cancel([&] { cancelled.set(); });
    response.begin_events();
    response.event("token");
    response.flush();
    ++running;
    bool told = false;
    while (!told && !release.load()) {
      told = co_await cancelled.wait_until(steady_clock::now() + milliseconds(5));
    }
    --running;
    response.on_cancel(nullptr);
    response.event(told ? "error" : "[DONE]");
    response.end_events();
  }

  void wait_until_running() {
    while (running.load() == 0) std::this_thread::sleep_for(milliseconds(1));
  }

  std::atomic<int> running{0};
  std::atomic<bool> release{false};
  std::unique_ptr<Server> server;
};

TEST_F(Serving, IsAliveButNotReadyBeforeItsEngineIs) {
  server = std::make_unique<Server>(quiet_options());
  server->start();
  EXPECT_EQ(ask(server->port(), get("/health")).status, 200);
  const RawResponse ready = ask(server->port(), get("/ready"));
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.headers.at("retry-after"), "5");
  EXPECT_THAT(ready.body, HasSubstr("loading"));
  const RawResponse models = ask(server->port(), get("/v1/models"));
  EXPECT_EQ(models.status, 503);
  EXPECT_THAT(models.body, HasSubstr("not_ready"));
  const RawResponse chat =
      ask(server->port(), post("/v1/chat/completions", "{}", "Content-Type: application/json\r\n"));
  EXPECT_EQ(chat.status, 503);
  server->set_ready();
  EXPECT_EQ(ask(server->port(), get("/ready")).status, 200);
  EXPECT_THAT(ask(server->port(), get("/version")).body, HasSubstr("1.2.3"));
}

TEST_F(Serving, WantsJsonInTheBody) {
  start();
  for (const char* type : {"", "Content-Type: text/plain\r\n",
                           "Content-Type: application/x-www-form-urlencoded\r\n"}) {
    const RawResponse response = ask(server->port(), post("/v1/completions", "{}", type));
    EXPECT_EQ(response.status, 415) << type;
    EXPECT_THAT(response.body, HasSubstr("content_type_unsupported"));
  }
}

TEST_F(Serving, KeepsAdminEndPointsOffTheDataPort) {
  start();
  for (const char* path : {"/admin/config", "/admin/experts", "/admin/log_level"}) {
    EXPECT_EQ(ask(server->port(), get(path)).status, 404) << path;
  }
  for (const char* path : {"/admin/cancel", "/admin/drain", "/admin/log_level"}) {
    EXPECT_EQ(ask(server->port(), post(path, "{}")).status, 404) << path;
  }
  EXPECT_EQ(ask(server->admin_port(), post("/v1/completions", "{}")).status, 404);
  EXPECT_EQ(ask(server->admin_port(), get("/admin/log_level")).status, 200);
}

TEST_F(Serving, AsksForTheKeyOfEachPort) {
  ServerOptions options = quiet_options();
  options.api_keys = {"data-key"};
  options.admin_api_key = "admin-key";
  start(options);
  const std::string data_key = "Authorization: Bearer data-key\r\n";
  const std::string admin_key = "Authorization: Bearer admin-key\r\n";
  for (const char* path : {"/version", "/metrics", "/v1/models", "/v1/models/x", "/nowhere",
                           "/docs", "/admin/config"}) {
    EXPECT_EQ(ask(server->port(), get(path)).status, 401) << path;
    EXPECT_EQ(ask(server->port(), get(path, admin_key)).status, 401) << path;
    EXPECT_NE(ask(server->port(), get(path, data_key)).status, 401) << path;
  }
  for (const char* path :
       {"/generate", "/v1/completions", "/v1/chat/completions", "/v1/messages",
        "/v1/messages/count_tokens", "/tokenize", "/detokenize", "/apply-template"}) {
    EXPECT_EQ(ask(server->port(), post(path, "{}")).status, 401) << path;
  }
  for (const char* path : {"/health", "/ready"}) {
    EXPECT_EQ(ask(server->port(), get(path)).status, 200) << path;
  }
  for (const char* path : {"/metrics", "/admin/config", "/admin/experts", "/admin/log_level"}) {
    EXPECT_EQ(ask(server->admin_port(), get(path)).status, 401) << path;
    EXPECT_EQ(ask(server->admin_port(), get(path, data_key)).status, 401) << path;
    EXPECT_NE(ask(server->admin_port(), get(path, admin_key)).status, 401) << path;
  }
}

TEST_F(Serving, RefusesAnOpenAdminPortWithoutAKey) {
  ServerOptions options = quiet_options();
  options.admin_host = "0.0.0.0";
  try {
    Server open(options);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("--admin_api_key"));
  }
  options.admin_host = "127.0.0.1";
  options.ssl_key_file = "key.pem";
  EXPECT_THROW(Server half(options), Error);
}

TEST_F(Serving, CancelsARequestByItsId) {
  start();
  RawClient client(server->port());
  client.send(post("/generate", "", "X-Request-Id: mine\r\n"));
  wait_until_running();
  const RawResponse unknown = ask(server->admin_port(), post("/admin/cancel", R"({"id":"other"})"));
  EXPECT_EQ(unknown.status, 404);
  for (const char* bad : {"", "{", "[]", "{}", R"({"id":1})"}) {
    EXPECT_EQ(ask(server->admin_port(), post("/admin/cancel", bad)).status, 400) << bad;
  }
  const RawResponse done = ask(server->admin_port(), post("/admin/cancel", R"({"id":"mine"})"));
  EXPECT_EQ(done.status, 200);
  EXPECT_EQ(done.body, R"({"cancelled":1})");
  const RawResponse ended = client.read_response();
  EXPECT_TRUE(ended.complete);
  EXPECT_THAT(ended.body, HasSubstr("data: error"));
}

TEST_F(Serving, SetsTheLogLevel) {
  start();
  const std::string before = ask(server->admin_port(), get("/admin/log_level")).body;
  EXPECT_EQ(ask(server->admin_port(), post("/admin/log_level", R"({"level":"loud"})")).status, 400);
  EXPECT_EQ(ask(server->admin_port(), post("/admin/log_level", R"({"level":"error"})")).body,
            R"({"level":"error"})");
  EXPECT_EQ(ask(server->admin_port(), post("/admin/log_level", before)).status, 200);
}

TEST_F(Serving, DrainsWhatRunsAndRefusesWhatIsNew) {
  start();
  RawClient running_client(server->port()), idle(server->port());
  running_client.send(post("/generate", ""));
  idle.send(get("/health"));
  idle.read_response();
  wait_until_running();
  auto outcome = std::async(std::launch::async, [&] { return server->wait(); });
  EXPECT_EQ(ask(server->admin_port(), post("/admin/drain", "")).status, 202);
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_TRUE(idle.ended());
  const RawResponse refused = ask(server->port(), post("/generate", ""));
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("shutting_down"));
  EXPECT_EQ(ask(server->port(), get("/ready")).status, 503);
  EXPECT_EQ(ask(server->port(), get("/health")).status, 200);
  EXPECT_EQ(outcome.wait_for(milliseconds(100)), std::future_status::timeout);
  release = true;
  const RawResponse response = running_client.read_response();
  EXPECT_TRUE(response.complete);
  EXPECT_THAT(response.body, HasSubstr("[DONE]"));
  EXPECT_EQ(outcome.get(), Server::Outcome::kDrained);
}

TEST_F(Serving, EndsWhatRunsTooLongWithAnError) {
  ServerOptions options = quiet_options();
  options.shutdown_timeout = milliseconds(100);
  start(options);
  RawClient client(server->port());
  client.send(post("/generate", ""));
  wait_until_running();
  const auto begin = steady_clock::now();
  server->shut_down();
  EXPECT_EQ(server->wait(), Server::Outcome::kTimedOut);
  EXPECT_GE(steady_clock::now() - begin, milliseconds(100));
  EXPECT_LT(steady_clock::now() - begin, milliseconds(2000));
  const RawResponse response = client.read_response();
  EXPECT_TRUE(response.complete);
  EXPECT_THAT(response.body, HasSubstr("data: error"));
  EXPECT_THAT(response.body, ::testing::Not(HasSubstr("[DONE]")));
}

TEST_F(Serving, ShowsItsOwnMetricsWithoutAnEngine) {
  start();
  ask(server->port(), get("/health"));
  const RawResponse response = ask(server->port(), get("/metrics"));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.headers.at("content-type"), HasSubstr("version=0.0.4"));
  EXPECT_THAT(response.body,
              HasSubstr("glmoe_http_requests_total{route=\"/health\",status=\"200\"} 1"));
}

TEST_F(Serving, MayBeDestroyedWhileRequestsRun) {
  start();
  RawClient client(server->port());
  client.send(post("/generate", ""));
  wait_until_running();
  server.reset();
  EXPECT_EQ(running.load(), 0);
  client.read_to_end();
  EXPECT_TRUE(client.ended());
}

}  // namespace
}  // namespace glmoe::serve
