// Whole calls through a server whose engine is real and whose model is pretended: streams, clients
// that leave in every state, shutdown.
// Mirrors: src/serve/endpoints/generation.cc, src/serve/endpoints/api.cc,
// src/serve/engine_streams.cc, src/serve/engine_slot.cc
#include "serve/endpoints/generation.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/json.h"
#include "llm/fake_llm.h"
#include "serve/raw_client.h"
#include "serve/server.h"

namespace glmoe::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr const char* kJsonType = "Content-Type: application/json\r\n";

std::vector<std::string> event_data(const std::string& body) {
  std::vector<std::string> all;
  for (size_t at = body.find("data: "); at != std::string::npos; at = body.find("data: ", at + 1)) {
    all.push_back(body.substr(at + 6, body.find("\n\n", at) - at - 6));
  }
  return all;
}

class Generation : public ::testing::Test {
 protected:
  void start(FakeLlmOptions fake = {}, ServerOptions options = {}) {
    fake.folder = GLMOE_MODELS "/glm4-moe-demo";
    llm.emplace(make_fake_llm(std::move(fake)));
    text.emplace(*llm);
    options.port = options.admin_port = 0;
    options.log_requests = false;
    server = std::make_unique<Server>(options);
    server->start();
    server->set_engine(
        *llm, {.text = &*text, .model_names = {"demo"}, .max_model_len = llm->max_seq_len()});
    free_blocks = llm->stats().kv_blocks_free;
  }

  std::string completion(const std::string& fields, const std::string& headers = "") {
    return post("/v1/completions", "{" + fields + "}", kJsonType + headers);
  }
  RawResponse ask(const std::string& bytes) {
    RawClient client(server->port());
    client.send(bytes);
    return client.read_response(false, 20'000);
  }
  // Nothing runs or waits, and all blocks are free again; at most `limit` later.
  bool comes_to_rest(milliseconds limit) {
    const auto deadline = steady_clock::now() + limit;
    for (;;) {
      const EngineStats stats = llm->stats();
      if (stats.num_running == 0 && stats.num_waiting == 0 && stats.kv_blocks_free == free_blocks) {
        return true;
      }
      if (steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  void wait_for(int64_t running, int64_t waiting) {
    for (int i = 0; i < 5000; ++i) {
      const EngineStats stats = llm->stats();
      if (stats.num_running >= running && stats.num_waiting >= waiting) return;
      std::this_thread::sleep_for(milliseconds(1));
    }
    FAIL() << "the engine never had " << running << " running and " << waiting << " waiting";
  }

  std::optional<LLM> llm;
  std::optional<LlmText> text;
  std::unique_ptr<Server> server;
  int64_t free_blocks = 0;
};

constexpr const char* kLong = R"("prompt":"Once","max_tokens":800,"ignore_eos":true)";

TEST_F(Generation, StreamsWhatItAnswersWhole) {
  start({.reply = "A violin has four strings."});
  const RawResponse whole = ask(completion(R"("prompt":"What","max_tokens":50)"));
  ASSERT_EQ(whole.status, 200) << whole.body;
  EXPECT_EQ(Json::parse(whole.body)["choices"][0]["text"], "A violin has four strings.");
  const RawResponse streamed = ask(completion(R"("prompt":"What","max_tokens":50,"stream":true)"));
  EXPECT_EQ(streamed.status, 200);
  EXPECT_TRUE(streamed.complete);
  const std::vector<std::string> data = event_data(streamed.body);
  ASSERT_FALSE(data.empty());
  EXPECT_EQ(data.back(), "[DONE]");
  std::string joined;
  for (size_t i = 0; i + 1 < data.size(); ++i) {
    const Json event = Json::parse(data[i]);
    if (!event["choices"].empty()) joined += event["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(joined, "A violin has four strings.");
}

TEST_F(Generation, AnswersManyPromptsWithManyAnswersEach) {
  start();
  const RawResponse response =
      ask(completion(R"("prompt":["One","Two","Three"],"n":2,"max_tokens":5,"ignore_eos":true)"));
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(Json::parse(response.body)["choices"].size(), 6u);
  EXPECT_TRUE(comes_to_rest(milliseconds(1000)));
}

// The fastest of several: a busy machine delays some of them, a server that looks now and then all.
TEST_F(Generation, CancelsWithinAHundredMillisecondsInEveryState) {
  FakeLlmOptions fake{.step_ms = 5.0};
  fake.llm.max_batch_size = 2;
  start(fake);
  const auto fastest_of = [](int num_tries, const std::function<steady_clock::duration()>& time) {
    auto fastest = steady_clock::duration::max();
    for (int i = 0; i < num_tries; ++i) fastest = std::min(fastest, time());
    return fastest;
  };
  for (const std::string mode : {R"(,"stream":true)", R"(,"stream":false)", R"(,"n":2)"}) {
    const auto fastest = fastest_of(5, [&] {
      RawClient running(server->port());
      running.send(completion(kLong + mode));
      wait_for(1, 0);
      running.close();
      const auto left = steady_clock::now();
      EXPECT_TRUE(comes_to_rest(milliseconds(10'000)));
      return steady_clock::now() - left;
    });
    EXPECT_LT(fastest, milliseconds(100)) << "running" << mode;
  }
  // Two run, the third waits; the one that waits leaves.
  RawClient first(server->port()), second(server->port());
  first.send(completion(kLong));
  second.send(completion(kLong));
  wait_for(2, 0);
  const auto fastest = fastest_of(3, [&] {
    RawClient queued(server->port());
    queued.send(completion(kLong));
    wait_for(2, 1);
    queued.close();
    const auto left = steady_clock::now();
    while (llm->stats().num_waiting > 0) std::this_thread::sleep_for(milliseconds(1));
    return steady_clock::now() - left;
  });
  EXPECT_LT(fastest, milliseconds(100));
  EXPECT_EQ(llm->stats().num_running, 2);  // the others go on
}

TEST_F(Generation, LosesNoBlockOverManyClientsThatLeave) {
  start({.step_ms = 0.2});
  for (int i = 0; i < 200; ++i) {
    RawClient client(server->port());
    client.send(completion(kLong + std::string(i % 2 == 0 ? R"(,"stream":true)" : "")));
    if (i % 3 == 0) client.receive(i % 7);
    if (i % 5 == 0) client.reset();
  }
  EXPECT_TRUE(comes_to_rest(milliseconds(3000)));
}

TEST_F(Generation, CutsOffAStreamThatIsNotRead) {
  ServerOptions options;
  options.limits.max_unsent_bytes = 4096;
  start({}, options);
  RawClient slow(server->port(), /*receive_buffer=*/1024);
  slow.send(completion(R"("prompt":"Once","max_tokens":900,"ignore_eos":true,"n":16,)"
                       R"("stream":true,"logprobs":5)"));
  wait_for(1, 0);
  RawClient other(server->port());
  other.send(completion(R"("prompt":"Two","max_tokens":3)"));
  EXPECT_EQ(other.read_response().status, 200);
  EXPECT_TRUE(comes_to_rest(milliseconds(10'000)));
  std::string metrics;
  for (int i = 0; i < 200 && metrics.find("disconnects_total 1") == std::string::npos; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    metrics = ask(get("/metrics")).body;
  }
  EXPECT_THAT(metrics, HasSubstr("glmoe_client_disconnects_total 1"));
}

TEST_F(Generation, EndsAStreamWithAnErrorWhereTheEngineFails) {
  auto failing = std::make_shared<std::atomic<bool>>(false);
  FakeLlmOptions fake{.step_ms = 1.0};
  fake.after_step = [failing](const StepPlan&, StepResult& result) {
    if (!failing->load()) return;
    for (SequenceResult& sequence : result.sequences) sequence.error = "logits are not finite";
  };
  start(fake);
  RawClient client(server->port());
  client.send(completion(kLong + std::string(R"(,"stream":true)")));
  ASSERT_TRUE(client.read_until("data: "));
  failing->store(true);
  const RawResponse response = client.read_response();
  EXPECT_TRUE(response.complete);
  EXPECT_TRUE(Json::parse(event_data(response.body).back()).contains("error"));
  EXPECT_THAT(response.body, ::testing::Not(HasSubstr("[DONE]")));
  // Where nothing was sent yet, the error has a status of its own.
  const RawResponse whole = ask(completion(R"("prompt":"Once","max_tokens":5)"));
  EXPECT_EQ(whole.status, 500) << whole.body;
}

TEST_F(Generation, EndsStreamsWithAnErrorWhenTheShutdownTimeIsOver) {
  ServerOptions options;
  options.shutdown_timeout = milliseconds(50);
  start({.step_ms = 2.0}, options);
  RawClient streamed(server->port()), whole(server->port());
  streamed.send(completion(kLong + std::string(R"(,"stream":true)")));
  whole.send(completion(kLong));
  ASSERT_TRUE(streamed.read_until("data: "));
  wait_for(2, 0);
  server->shut_down();
  EXPECT_EQ(server->wait(), Server::Outcome::kTimedOut);
  const RawResponse ended = streamed.read_response();
  EXPECT_TRUE(ended.complete);
  EXPECT_EQ(Json::parse(event_data(ended.body).back())["error"]["code"], "shutting_down");
  EXPECT_EQ(whole.read_response().status, 503);
  EXPECT_TRUE(comes_to_rest(milliseconds(1000)));
}

TEST_F(Generation, AnswersThatTheQueueIsFull) {
  FakeLlmOptions fake{.step_ms = 2.0};
  fake.llm.max_batch_size = 1;
  fake.llm.max_queued_requests = 1;
  start(fake);
  RawClient running(server->port()), waiting(server->port());
  running.send(completion(kLong));
  wait_for(1, 0);
  waiting.send(completion(kLong));
  wait_for(1, 1);
  const RawResponse refused = ask(completion(kLong));
  EXPECT_EQ(refused.status, 429) << refused.body;
  EXPECT_THAT(refused.body, HasSubstr("queue_full"));
  EXPECT_EQ(refused.headers.count("retry-after"), 1u);
}

TEST_F(Generation, KeepsASilentStreamOpenWithComments) {
  ServerOptions options;
  options.keep_alive_interval = milliseconds(100);
  start({.step_ms = 1600.0}, options);  // also the warm-up's
  RawClient client(server->port());
  client.send(completion(R"("prompt":"Once","max_tokens":1,"stream":true)"));
  ASSERT_TRUE(client.read_until("\r\n\r\n", 1500)) << "the headers wait for the first token";
  const RawResponse response = client.read_response();
  EXPECT_TRUE(response.complete);
  EXPECT_THAT(response.body, HasSubstr(": "));
  EXPECT_EQ(event_data(response.body).back(), "[DONE]");
}

TEST_F(Generation, KeepsThePrefixesOfDifferentKeysApart) {
  ServerOptions options;
  options.cache_salt_per_key = true;
  options.api_keys = {"one", "two"};
  start({}, options);
  std::string prompt;
  for (int i = 0; i < 100; ++i) prompt += "word" + std::to_string(i) + " ";
  const auto cached = [&](const std::string& key) {
    const uint64_t before = llm->stats().prefix_cache_hits;
    EXPECT_EQ(ask(completion("\"prompt\":\"" + prompt + "\",\"max_tokens\":1",
                             "Authorization: Bearer " + key + "\r\n"))
                  .status,
              200);
    return llm->stats().prefix_cache_hits - before;
  };
  EXPECT_EQ(cached("one"), 0u);
  EXPECT_GT(cached("one"), 0u);
  EXPECT_EQ(cached("two"), 0u);
}

}  // namespace
}  // namespace glmoe::serve
