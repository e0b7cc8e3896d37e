#include "serve/openai/chat_writer.h"

#include <gmock/gmock.h>

#include <map>
#include <random>

#include "serve/fake_text.h"
#include "serve/openai/chat_request.h"

namespace glmoe::serve::openai {
namespace {

using testing::all_events;
using testing::call_arguments;
using testing::call_name;
using testing::content;
using testing::delta_of;
using testing::error_of;
using testing::FakeServer;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::reasoning;
using ::testing::StartsWith;
using testing::whole_body;
using testing::with_field;

const std::string kBody = R"({"messages": [{"role": "user", "content": "hi"}],
    "tools": [{"type": "function", "function": {"name": "add"}}]})";

std::string streamed(const std::string& body = kBody) { return with_field(body, "stream", "true"); }

// What a client adds up from the chunks of one choice.
struct Summed {
  std::string role, content, reasoning, finish_reason;
  std::map<int64_t, OrderedJson> calls;
  OrderedJson logprobs = OrderedJson::array();
  std::vector<int32_t> token_ids;
};

void add(Summed& sum, const OrderedJson& choice) {
  const OrderedJson& delta = choice.at("delta");
  sum.role += delta.value("role", "");
  sum.content += delta.value("content", "");
  sum.reasoning += delta.value("reasoning_content", "");
  for (const OrderedJson& piece : delta.value("tool_calls", OrderedJson::array())) {
    OrderedJson& call = sum.calls[piece.at("index")];
    if (piece.contains("id")) {
      EXPECT_FALSE(call.contains("name")) << "a name comes once";
      EXPECT_EQ(piece.at("type"), "function");
      call["name"] = piece.at("function").at("name");
      call["arguments"] = "";
    }
    call["arguments"] = call.at("arguments").get<std::string>() +
                        piece.at("function").at("arguments").get<std::string>();
  }
  if (!choice.at("logprobs").is_null()) {
    for (const OrderedJson& entry : choice.at("logprobs").at("content")) {
      sum.logprobs.push_back(entry);
    }
  }
  for (const OrderedJson& id : choice.value("token_ids", OrderedJson::array())) {
    sum.token_ids.push_back(id);
  }
  if (!choice.at("finish_reason").is_null()) sum.finish_reason = choice.at("finish_reason");
}

std::map<size_t, Summed> sum_up(const ServerEvents& events) {
  std::map<size_t, Summed> sums;
  for (const ServerEvent& event : events) {
    EXPECT_EQ(event.name, "");
    if (event.data == "[DONE]") continue;
    const OrderedJson json = OrderedJson::parse(event.data);
    EXPECT_EQ(json.at("object"), "chat.completion.chunk");
    for (const OrderedJson& choice : json.at("choices")) add(sums[choice.at("index")], choice);
  }
  return sums;
}

OrderedJson whole(const FakeServer& server, const std::string& body,
                  const std::vector<OutputDelta>& deltas, const RequestFacts& facts = {}) {
  return whole_body(*read_chat_call(body, server.context).writer, deltas, facts);
}

TEST(ChatAnswer, IsOneObjectWithUsage) {
  const FakeServer server;
  const OrderedJson json =
      whole(server, kBody,
            {delta_of(reasoning("hm"), 2), delta_of(content("Hel") + content("lo"), 1),
             delta_of("", 1, FinishReason::kStop)},
            {.num_cached_tokens = 4});
  EXPECT_THAT(json.at("id").get<std::string>(), StartsWith("chatcmpl-"));
  EXPECT_EQ(json.at("object"), "chat.completion");
  EXPECT_EQ(json.at("model"), "glm");
  EXPECT_GT(json.at("created"), 1700000000);
  const OrderedJson& choice = json.at("choices").at(0);
  EXPECT_EQ(choice.at("index"), 0);
  EXPECT_EQ(choice.at("message").at("role"), "assistant");
  EXPECT_EQ(choice.at("message").at("content"), "Hello");
  EXPECT_EQ(choice.at("message").at("reasoning_content"), "hm");
  EXPECT_FALSE(choice.at("message").contains("tool_calls"));
  EXPECT_TRUE(choice.at("logprobs").is_null());
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  const OrderedJson& usage = json.at("usage");
  EXPECT_EQ(usage.at("completion_tokens"), 4);
  EXPECT_EQ(usage.at("total_tokens"), usage.at("prompt_tokens").get<int>() + 4);
  EXPECT_EQ(usage.at("prompt_tokens_details").at("cached_tokens"), 4);
  EXPECT_EQ(usage.at("completion_tokens_details").at("reasoning_tokens"), 1);
}

TEST(ChatAnswer, HoldsToolCallsInsteadOfContent) {
  const FakeServer server;
  const OrderedJson json =
      whole(server, kBody,
            {delta_of(call_name(0, "add")),
             delta_of(call_arguments(0, "{\"a\":") + call_arguments(0, " 1}")),
             delta_of(call_name(1, "add") + call_arguments(1, "{}"), 1, FinishReason::kStop)});
  const OrderedJson& choice = json.at("choices").at(0);
  EXPECT_TRUE(choice.at("message").at("content").is_null());
  const OrderedJson& calls = choice.at("message").at("tool_calls");
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_THAT(calls[0].at("id").get<std::string>(), StartsWith("call_"));
  EXPECT_NE(calls[0].at("id"), calls[1].at("id"));
  EXPECT_EQ(calls[0].at("function").dump(), R"({"name":"add","arguments":"{\"a\": 1}"})");
  EXPECT_EQ(calls[1].at("function").at("arguments"), "{}");
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
}

TEST(ChatAnswer, KeepsLengthAsReasonForACallThatWasCutOff) {
  const FakeServer server;
  const OrderedJson json =
      whole(server, kBody,
            {delta_of(call_name(0, "add") + call_arguments(0, "{\"a"), 1, FinishReason::kLength)});
  EXPECT_EQ(json.at("choices").at(0).at("finish_reason"), "length");
  EXPECT_EQ(json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{\"a");
}

TEST(ChatAnswer, HasOnlyTheFirstCallWhereParallelCallsAreOff) {
  const FakeServer server;
  const std::string body = with_field(kBody, "parallel_tool_calls", "false");
  const std::vector<OutputDelta> deltas = {
      delta_of(call_name(0, "add") + call_arguments(0, "{}")),
      delta_of(call_name(1, "add") + call_arguments(1, "{}"), 1, FinishReason::kStop)};
  EXPECT_EQ(whole(server, body, deltas)["choices"][0]["message"]["tool_calls"].size(), 1u);
  const ApiCall call = read_chat_call(streamed(body), server.context);
  EXPECT_EQ(sum_up(all_events(*call.writer, deltas))[0].calls.size(), 1u);
}

TEST(ChatAnswer, NamesWhatStoppedIt) {
  const FakeServer server;
  const auto stop_reason = [&](const std::string& body, const std::string& found) {
    OutputDelta delta = delta_of(content("x"), 1, FinishReason::kStop);
    delta.stop_reason = found;
    return whole(server, body, {delta})["choices"][0]["stop_reason"];
  };
  EXPECT_EQ(stop_reason(with_field(kBody, "stop", "\"END\""), "END"), "END");
  EXPECT_EQ(stop_reason(with_field(kBody, "stop_token_ids", "[65]"), "65"), 65);
  EXPECT_TRUE(stop_reason(kBody, "151336").is_null());  // the model's own end
}

TEST(ChatAnswer, TellsTimeoutAndCancellation) {
  const FakeServer server;
  OrderedJson json = whole(server, kBody, {delta_of(content("x"), 1, FinishReason::kTimeout)});
  EXPECT_EQ(json["choices"][0]["finish_reason"], "timeout");
  json = whole(server, kBody, {delta_of(content("x"), 1, FinishReason::kCancelled)});
  EXPECT_EQ(json["choices"][0]["finish_reason"], "cancelled");
  // Nothing to show: an error.
  EXPECT_EQ(
      error_of([&] { whole(server, kBody, {delta_of("", 0, FinishReason::kTimeout)}); }).status,
      408);
  EXPECT_EQ(
      error_of([&] { whole(server, kBody, {delta_of("", 0, FinishReason::kCancelled)}); }).status,
      503);
}

TEST(ChatAnswer, ThatFailedIsAnErrorWithoutInternals) {
  const FakeServer server;
  const ApiCall call = read_chat_call(kBody, server.context);
  OutputDelta delta = delta_of("", 0, FinishReason::kError);
  delta.error = "/secret/path.cc:12: 0x7fff1234";
  try {
    call.writer->feed(0, delta, {});
    FAIL();
  } catch (const ApiError& error) {
    EXPECT_EQ(error.error.status, 500);
    EXPECT_THAT(error.error.message, Not(HasSubstr("secret")));
    EXPECT_EQ(error.log_detail, delta.error);
    const ServerEvents events = call.writer->failure(error.error);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(OrderedJson::parse(events[0].data).at("error").at("code"), "generation_failed");
  }
}

TEST(ChatAnswer, HasLogprobsWithBytes) {
  const FakeServer server;
  const std::string body = with_field(with_field(kBody, "logprobs", "true"), "top_logprobs", "2");
  const OrderedJson json = whole(server, body, {delta_of(content("a"), 1, FinishReason::kStop)});
  EXPECT_EQ(json["choices"][0]["logprobs"]["content"][0].dump(),
            R"({"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[)"
            R"({"token":"z","logprob":-0.25,"bytes":[122]},)"
            R"({"token":"a","logprob":-0.5,"bytes":[97]}]})");
}

TEST(ChatAnswer, ShowsTokenIdsAndPromptLogprobsWhereAsked) {
  const FakeServer server;
  const std::string body =
      with_field(with_field(kBody, "return_token_ids", "true"), "prompt_logprobs", "1");
  const OrderedJson json = whole(server, body, {delta_of(content("a"), 1, FinishReason::kStop)},
                                 {.prompt_logprobs = {{}, {{'h', -1.5f, 3}}}});
  EXPECT_EQ(json["choices"][0]["token_ids"].dump(), "[97]");
  EXPECT_GT(json["prompt_token_ids"].size(), 5u);
  EXPECT_EQ(json["prompt_logprobs"].dump(),
            R"([null,{"104":{"logprob":-1.5,"rank":3,"decoded_token":"h"}}])");
}

TEST(ChatAnswer, LeavesReasoningOutWhereItIsNotWanted) {
  const FakeServer server;
  const std::string body = with_field(kBody, "include_reasoning", "false");
  const std::vector<OutputDelta> deltas = {delta_of(reasoning("hm")),
                                           delta_of(content("a"), 1, FinishReason::kStop)};
  EXPECT_FALSE(whole(server, body, deltas)["choices"][0]["message"].contains("reasoning_content"));
  const ApiCall call = read_chat_call(streamed(body), server.context);
  EXPECT_EQ(sum_up(all_events(*call.writer, deltas))[0].reasoning, "");
}

TEST(ChatStream, BeginsWithTheRoleAndEndsWithDone) {
  const FakeServer server;
  const ApiCall call = read_chat_call(streamed(), server.context);
  const ServerEvents events =
      all_events(*call.writer, {delta_of(content("a")), delta_of("", 1, FinishReason::kStop)});
  ASSERT_EQ(events.size(), 4u);
  OrderedJson json = OrderedJson::parse(events[0].data);
  EXPECT_EQ(json["choices"][0]["delta"].dump(), R"({"role":"assistant","content":""})");
  EXPECT_FALSE(json.contains("usage"));
  json = OrderedJson::parse(events[2].data);
  EXPECT_EQ(json["choices"][0]["delta"].dump(), "{}");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[3].data, "[DONE]");
}

TEST(ChatStream, ReportsUsageWhereAsked) {
  const FakeServer server;
  std::string body = with_field(streamed(), "stream_options", R"({"include_usage": true})");
  const std::vector<OutputDelta> deltas = {delta_of(content("a"), 3, FinishReason::kStop)};
  ApiCall call = read_chat_call(body, server.context);
  ServerEvents events = all_events(*call.writer, deltas);
  EXPECT_TRUE(OrderedJson::parse(events[0].data).at("usage").is_null());
  const OrderedJson last = OrderedJson::parse(events[events.size() - 2].data);
  EXPECT_TRUE(last.at("choices").empty());
  EXPECT_EQ(last.at("usage").at("completion_tokens"), 3);

  body = with_field(streamed(), "stream_options", R"({"continuous_usage_stats": true})");
  call = read_chat_call(body, server.context);
  events = all_events(*call.writer, deltas);
  EXPECT_EQ(OrderedJson::parse(events[0].data).at("usage").at("completion_tokens"), 0);
  EXPECT_EQ(OrderedJson::parse(events[1].data).at("usage").at("completion_tokens"), 3);
}

TEST(ChatStream, InterleavesItsAnswers) {
  const FakeServer server;
  const ApiCall call = read_chat_call(with_field(streamed(), "n", "2"), server.context);
  const std::map<size_t, Summed> sums =
      sum_up(all_events(*call.writer, {delta_of(content("a"), 1, FinishReason::kNone, 1),
                                       delta_of(content("b"), 1, FinishReason::kNone, 0),
                                       delta_of(content("c"), 1, FinishReason::kStop, 1),
                                       delta_of(content("d"), 1, FinishReason::kLength, 0)}));
  EXPECT_EQ(sums.at(0).content, "bd");
  EXPECT_EQ(sums.at(1).content, "ac");
  EXPECT_EQ(sums.at(0).finish_reason, "length");
  EXPECT_EQ(sums.at(1).finish_reason, "stop");
  EXPECT_EQ(sums.at(0).role, "assistant");
  EXPECT_EQ(sums.at(1).role, "assistant");
}

TEST(ChatStream, AddsUpToTheWholeAnswerHoweverItIsSplit) {
  const FakeServer server;
  const std::string body =
      with_field(with_field(kBody, "logprobs", "true"), "return_token_ids", "true");
  const std::string args = R"({"text": "a \"quoted\" word", "n": 5})";
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    // One answer: reasoning, content, two calls, in pieces of any size, several to a delta.
    std::vector<std::string> records;
    const auto split = [&](const std::string& text, const auto& record) {
      for (size_t i = 0; i < text.size();) {
        size_t size = 1 + random() % 6;
        while (i + size < text.size() && (text[i + size] & 0xC0) == 0x80) ++size;
        records.push_back(record(text.substr(i, size)));
        i += size;
      }
    };
    split("I think \xE2\x82\xAC", [](const std::string& t) { return reasoning(t); });
    split("So:\n", [](const std::string& t) { return content(t); });
    for (int i = 0; i < 2; ++i) {
      records.push_back(call_name(i, "add"));
      split(args, [&](const std::string& t) { return call_arguments(i, t); });
    }
    std::vector<OutputDelta> deltas;
    for (size_t i = 0; i < records.size();) {
      std::string text;
      for (size_t left = random() % 4; left > 0 && i < records.size(); --left) text += records[i++];
      deltas.push_back(delta_of(text, static_cast<int64_t>(random() % 3)));
    }
    deltas.push_back(delta_of("", 1, FinishReason::kStop));

    const OrderedJson choice = whole(server, body, deltas).at("choices").at(0);
    const ApiCall call = read_chat_call(streamed(body), server.context);
    const Summed sum = sum_up(all_events(*call.writer, deltas)).at(0);
    const OrderedJson& message = choice.at("message");
    EXPECT_EQ(sum.content, message.at("content"));
    EXPECT_EQ(sum.reasoning, message.at("reasoning_content"));
    ASSERT_EQ(sum.calls.size(), 2u);
    for (const auto& [index, one] : sum.calls) {
      const OrderedJson& function = message.at("tool_calls").at(static_cast<size_t>(index));
      EXPECT_EQ(one.at("name"), function.at("function").at("name"));
      EXPECT_EQ(one.at("arguments"), function.at("function").at("arguments"));
      EXPECT_EQ(one.at("arguments"), args);
    }
    EXPECT_EQ(sum.finish_reason, choice.at("finish_reason"));
    EXPECT_EQ(sum.logprobs, choice.at("logprobs").at("content"));
    EXPECT_EQ(OrderedJson(sum.token_ids), choice.at("token_ids"));
  }
}

}  // namespace
}  // namespace glmoe::serve::openai
