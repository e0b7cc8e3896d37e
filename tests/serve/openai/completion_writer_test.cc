#include "serve/openai/completion_writer.h"

#include <gmock/gmock.h>

#include <random>

#include "serve/fake_text.h"
#include "serve/openai/completion_request.h"

namespace glmoe::serve::openai {
namespace {

using testing::delta_of;
using testing::FakeServer;
using ::testing::StartsWith;
using testing::with_field;

struct Fed {
  size_t which;
  OutputDelta delta;
};

OrderedJson whole(const FakeServer& server, const std::string& body, const std::vector<Fed>& deltas,
                  const RequestFacts& facts = {}) {
  const ApiCall call = read_completion_call(body, server.context);
  for (const Fed& fed : deltas) call.writer->feed(fed.which, fed.delta, facts);
  return OrderedJson::parse(call.writer->body());
}

std::vector<OrderedJson> chunks(const FakeServer& server, const std::string& body,
                                const std::vector<Fed>& deltas, const RequestFacts& facts = {}) {
  const ApiCall call = read_completion_call(with_field(body, "stream", "true"), server.context);
  ServerEvents events = call.writer->start();
  for (const Fed& fed : deltas) {
    for (ServerEvent& event : call.writer->feed(fed.which, fed.delta, facts)) {
      events.push_back(std::move(event));
    }
  }
  for (ServerEvent& event : call.writer->finish()) events.push_back(std::move(event));
  EXPECT_EQ(events.back().data, "[DONE]");
  events.pop_back();
  std::vector<OrderedJson> result;
  for (const ServerEvent& event : events) result.push_back(OrderedJson::parse(event.data));
  return result;
}

TEST(CompletionAnswer, NumbersTheChoicesOfAllPrompts) {
  const FakeServer server;
  const std::string body = R"({"prompt": ["a", "b"], "n": 2})";
  const OrderedJson json = whole(server, body,
                                 {{1, delta_of("w", 1, FinishReason::kStop, 1)},
                                  {0, delta_of("x", 1, FinishReason::kStop, 0)},
                                  {1, delta_of("y", 1, FinishReason::kLength, 0)},
                                  {0, delta_of("z", 1, FinishReason::kStop, 1)}});
  EXPECT_EQ(json.at("object"), "text_completion");
  EXPECT_THAT(json.at("id").get<std::string>(), StartsWith("cmpl-"));
  ASSERT_EQ(json.at("choices").size(), 4u);
  const char* const texts[] = {"x", "z", "y", "w"};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(json["choices"][i]["index"], i);
    EXPECT_EQ(json["choices"][i]["text"], texts[i]);
  }
  EXPECT_EQ(json["choices"][2]["finish_reason"], "length");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 2);
  EXPECT_EQ(json["usage"]["completion_tokens"], 4);
}

TEST(CompletionAnswer, HasLogprobsInTheLegacyForm) {
  const FakeServer server;
  const OrderedJson json =
      whole(server, R"({"prompt": "hi", "logprobs": 1})",
            {{0, delta_of("a", 1)}, {0, delta_of("b", 2, FinishReason::kStop)}});
  EXPECT_EQ(json["choices"][0]["logprobs"].dump(),
            R"({"text_offset":[0,1,2],"token_logprobs":[-0.5,-0.5,-0.5],"tokens":["a","a","b"],)"
            R"("top_logprobs":[{"a":-0.5,"z":-0.25},{"a":-0.5,"z":-0.25},{"b":-0.5,"z":-0.25}]})");
}

TEST(CompletionAnswer, EchoesThePromptWithItsLogprobs) {
  const FakeServer server;
  const std::string body = R"({"prompt": "hi", "logprobs": 0, "echo": true})";
  const RequestFacts facts{.prompt_logprobs = {{}, {{'i', -2.0f, 5}}}};
  const std::vector<Fed> deltas = {{0, delta_of("a", 1, FinishReason::kStop)}};
  const std::string logprobs =
      R"({"text_offset":[0,1,2],"token_logprobs":[null,-2.0,-0.5],"tokens":["h","i","a"],)"
      R"("top_logprobs":[null,{"i":-2.0},{"a":-0.5,"z":-0.25}]})";
  const OrderedJson json = whole(server, body, deltas, facts);
  EXPECT_EQ(json["choices"][0]["text"], "hia");
  EXPECT_EQ(json["choices"][0]["logprobs"].dump(), logprobs);
  const std::vector<OrderedJson> streamed = chunks(server, body, deltas, facts);
  ASSERT_EQ(streamed.size(), 1u);
  EXPECT_EQ(streamed[0]["choices"][0]["text"], "hia");
  EXPECT_EQ(streamed[0]["choices"][0]["logprobs"].dump(), logprobs);
}

TEST(CompletionAnswer, ScoresThePromptAloneWithMaxTokensZero) {
  const FakeServer server;
  const std::string body = R"({"prompt": "hi", "logprobs": 0, "echo": true, "max_tokens": 0})";
  const RequestFacts facts{.prompt_logprobs = {{}, {{'i', -2.0f, 5}}}};
  const std::vector<Fed> deltas = {{0, delta_of("a", 1, FinishReason::kLength)}};
  const OrderedJson json = whole(server, body, deltas, facts);
  EXPECT_EQ(json["choices"][0]["text"], "hi");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(json["choices"][0]["logprobs"]["tokens"].dump(), R"(["h","i"])");
  EXPECT_EQ(json["usage"]["completion_tokens"], 0);
  EXPECT_EQ(chunks(server, body, deltas, facts)[0]["choices"][0]["text"], "hi");
}

TEST(CompletionAnswer, EchoesTokenIdsAsText) {
  const FakeServer server;
  const OrderedJson json = whole(server, R"({"prompt": [104, 105], "echo": true})",
                                 {{0, delta_of("a", 1, FinishReason::kStop)}});
  EXPECT_EQ(json["choices"][0]["text"], "hia");
}

TEST(CompletionStream, AddsUpToTheWholeAnswerHoweverItIsSplit) {
  const FakeServer server;
  const std::string body =
      R"({"prompt": ["ab", "c"], "logprobs": 1, "echo": true, "return_token_ids": true})";
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    std::vector<Fed> deltas;
    for (size_t left = 2 + random() % 8; left > 0; --left) {
      const std::string text(random() % 3, 'x');
      deltas.push_back({random() % 2, delta_of(text, static_cast<int64_t>(random() % 3))});
    }
    for (const size_t which : {0, 1}) {
      deltas.push_back({which, delta_of("", 1, FinishReason::kStop)});
    }
    const RequestFacts facts{.prompt_logprobs = {{}, {{'b', -1.0f, 1}}}};
    const OrderedJson json = whole(server, body, deltas, facts);
    for (size_t i = 0; i < 2; ++i) {
      const OrderedJson& choice = json.at("choices").at(i);
      std::string text;
      OrderedJson ids = OrderedJson::array(), offsets = OrderedJson::array();
      for (const OrderedJson& chunk : chunks(server, body, deltas, facts)) {
        const OrderedJson& part = chunk.at("choices").at(0);
        if (part.at("index") != i) continue;
        text += part.at("text").get<std::string>();
        for (const OrderedJson& id : part.at("token_ids")) ids.push_back(id);
        for (const OrderedJson& offset : part["logprobs"]["text_offset"]) offsets.push_back(offset);
      }
      EXPECT_EQ(text, choice.at("text"));
      EXPECT_EQ(ids, choice.at("token_ids"));
      EXPECT_EQ(offsets, choice["logprobs"]["text_offset"]);
    }
  }
}

TEST(CompletionStream, ReportsUsageWhereAsked) {
  const FakeServer server;
  const std::vector<OrderedJson> result = [&] {
    const std::string body =
        R"({"prompt": "hi", "stream": true, "stream_options": {"include_usage": true}})";
    return chunks(server, body, {{0, delta_of("a", 2, FinishReason::kStop)}});
  }();
  ASSERT_EQ(result.size(), 2u);
  EXPECT_TRUE(result[0].at("usage").is_null());
  EXPECT_TRUE(result[1].at("choices").empty());
  EXPECT_EQ(result[1].at("usage").at("total_tokens"), 4);
}

}  // namespace
}  // namespace glmoe::serve::openai
