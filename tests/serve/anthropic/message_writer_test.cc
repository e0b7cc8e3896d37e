#include "serve/anthropic/message_writer.h"

#include <gmock/gmock.h>

#include <random>

#include "serve/anthropic/api.h"
#include "serve/fake_text.h"

namespace glmoe::serve::anthropic {
namespace {

using testing::all_events;
using testing::call_arguments;
using testing::call_name;
using testing::content;
using testing::delta_of;
using ::testing::ElementsAre;
using testing::FakeServer;
using testing::reasoning;
using ::testing::StartsWith;
using testing::whole_body;
using testing::with_field;

const std::string kBody =
    R"({"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "add", "input_schema": {}}]})";

OrderedJson whole(const std::string& body, const std::vector<OutputDelta>& deltas,
                  const RequestFacts& facts = {}) {
  const FakeServer server;
  return whole_body(*read_messages_call(body, server.context).writer, deltas, facts);
}

std::vector<OrderedJson> streamed(const std::string& body, const std::vector<OutputDelta>& deltas,
                                  const RequestFacts& facts = {}) {
  const FakeServer server;
  const ApiCall call = read_messages_call(with_field(body, "stream", "true"), server.context);
  std::vector<OrderedJson> result;
  for (const ServerEvent& event : all_events(*call.writer, deltas, facts)) {
    result.push_back(OrderedJson::parse(event.data));
    EXPECT_EQ(result.back().at("type"), event.name);
  }
  return result;
}

std::vector<std::string> types(const std::vector<OrderedJson>& events) {
  std::vector<std::string> result;
  for (const OrderedJson& event : events) result.push_back(event.at("type"));
  return result;
}

// The message that a client adds up from the events; fails where their order is wrong.
OrderedJson sum_up(const std::vector<OrderedJson>& events) {
  OrderedJson message = events.at(0).at("message");
  std::string input;
  int64_t open = -1;
  for (const OrderedJson& event : events) {
    const std::string type = event.at("type");
    if (type == "content_block_start") {
      EXPECT_EQ(open, -1) << "a block begins within another";
      open = event.at("index");
      EXPECT_EQ(open, static_cast<int64_t>(message["content"].size()));
      message["content"].push_back(event.at("content_block"));
      input.clear();
    } else if (type == "content_block_delta") {
      EXPECT_EQ(event.at("index"), open);
      OrderedJson& block = message["content"].back();
      const OrderedJson& delta = event.at("delta");
      if (delta.at("type") == "input_json_delta") {
        input += delta.at("partial_json").get<std::string>();
      } else if (delta.at("type") == "signature_delta") {
        block["signature"] = delta.at("signature");
      } else {
        const char* const key = delta.at("type") == "text_delta" ? "text" : "thinking";
        block[key] = block.at(key).get<std::string>() + delta.at(key).get<std::string>();
      }
    } else if (type == "content_block_stop") {
      EXPECT_EQ(event.at("index"), open);
      if (message["content"].back().at("type") == "tool_use" && !input.empty()) {
        message["content"].back()["input"] = OrderedJson::parse(input);
      }
      open = -1;
    } else if (type == "message_delta") {
      EXPECT_EQ(open, -1);
      message["stop_reason"] = event.at("delta").at("stop_reason");
      message["stop_sequence"] = event.at("delta").at("stop_sequence");
      message["usage"] = event.at("usage");
    }
  }
  return message;
}

// Ids are random.
OrderedJson without_ids(OrderedJson message) {
  message.erase("id");
  for (OrderedJson& block : message["content"]) block.erase("id");
  return message;
}

TEST(Message, HasThinkingTextAndToolUse) {
  const OrderedJson json = whole(
      kBody,
      {delta_of(reasoning("hm"), 2), delta_of(content("\nSure.")),
       delta_of(call_name(0, "add") + call_arguments(0, "{\"a\": [1]}"), 1, FinishReason::kStop)},
      {.num_cached_tokens = 3});
  EXPECT_THAT(json.at("id").get<std::string>(), StartsWith("msg_"));
  EXPECT_EQ(json.at("type"), "message");
  EXPECT_EQ(json.at("role"), "assistant");
  EXPECT_EQ(json.at("model"), "glm");
  ASSERT_EQ(json.at("content").size(), 3u);
  EXPECT_EQ(json["content"][0]["type"], "thinking");
  EXPECT_EQ(json["content"][0]["thinking"], "hm");
  EXPECT_THAT(json["content"][0]["signature"].get<std::string>(), StartsWith("glmoe-"));
  EXPECT_EQ(json["content"][1].dump(), R"({"type":"text","text":"Sure."})");
  EXPECT_EQ(json["content"][2]["name"], "add");
  EXPECT_THAT(json["content"][2]["id"].get<std::string>(), StartsWith("toolu_"));
  EXPECT_EQ(json["content"][2]["input"].dump(), R"({"a":[1]})");
  EXPECT_EQ(json["stop_reason"], "tool_use");
  EXPECT_TRUE(json["stop_sequence"].is_null());
  EXPECT_EQ(json["usage"]["output_tokens"], 4);
  EXPECT_EQ(json["usage"]["cache_read_input_tokens"], 3);
  EXPECT_GT(json["usage"]["input_tokens"], 0);
}

TEST(Message, TellsWhyItEnded) {
  const auto reason = [](FinishReason finish, const std::string& stop, const std::string& body) {
    OutputDelta delta = delta_of(content("x"), 1, finish);
    delta.stop_reason = stop;
    const OrderedJson json = whole(body, {delta});
    return json["stop_reason"].get<std::string>() + "/" + json["stop_sequence"].dump();
  };
  const std::string stops = with_field(kBody, "stop_sequences", "[\"END\"]");
  EXPECT_EQ(reason(FinishReason::kStop, "151336", kBody), "end_turn/null");
  EXPECT_EQ(reason(FinishReason::kStop, "END", stops), "stop_sequence/\"END\"");
  EXPECT_EQ(reason(FinishReason::kLength, "", kBody), "max_tokens/null");
  EXPECT_EQ(reason(FinishReason::kTimeout, "", kBody), "timeout/null");
  EXPECT_EQ(reason(FinishReason::kCancelled, "", kBody), "cancelled/null");
}

TEST(MessageStream, HasTheEventsInTheirOrder) {
  const std::vector<OrderedJson> events = streamed(
      kBody, {delta_of(reasoning("hm")), delta_of(content("a")),
              delta_of(call_name(0, "add") + call_arguments(0, "{}"), 1, FinishReason::kStop)});
  EXPECT_THAT(
      types(events),
      ElementsAre("message_start", "content_block_start", "content_block_delta",
                  "content_block_delta", "content_block_stop", "content_block_start",
                  "content_block_delta", "content_block_stop", "content_block_start",
                  "content_block_delta", "content_block_stop", "message_delta", "message_stop"));
  EXPECT_EQ(events[0]["message"]["content"].dump(), "[]");
  EXPECT_EQ(events[2]["delta"].dump(), R"({"type":"thinking_delta","thinking":"hm"})");
  EXPECT_EQ(events[3]["delta"]["type"], "signature_delta");
  EXPECT_EQ(events[6]["delta"].dump(), R"({"type":"text_delta","text":"a"})");
  EXPECT_EQ(events[9]["delta"].dump(), R"({"type":"input_json_delta","partial_json":"{}"})");
  EXPECT_EQ(events[11]["delta"]["stop_reason"], "tool_use");
}

TEST(MessageStream, OpensNoBlockForWhiteSpace) {
  const std::vector<OutputDelta> deltas = {
      delta_of(reasoning("hm")), delta_of(content("\n")), delta_of(content("\n")),
      delta_of(call_name(0, "add") + call_arguments(0, "{}"), 1, FinishReason::kStop)};
  EXPECT_EQ(sum_up(streamed(kBody, deltas))["content"].size(), 2u);
  EXPECT_EQ(whole(kBody, deltas)["content"].size(), 2u);
}

TEST(MessageStream, AddsUpToTheWholeMessageHoweverItIsSplit) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> records;
    const auto split = [&](const std::string& text, const auto& record) {
      for (size_t i = 0; i < text.size();) {
        size_t size = 1 + random() % 5;
        while (i + size < text.size() && (text[i + size] & 0xC0) == 0x80) ++size;
        records.push_back(record(text.substr(i, size)));
        i += size;
      }
    };
    split("\n I think", [](const std::string& t) { return reasoning(t); });
    split("\n\n So: it is \n", [](const std::string& t) { return content(t); });
    for (int i = 0; i < 2; ++i) {
      records.push_back(call_name(i, "add"));
      split(R"({"text": "a \"b\", {", "n": [1, 2]})",
            [&](const std::string& t) { return call_arguments(i, t); });
    }
    std::vector<OutputDelta> deltas;
    for (size_t i = 0; i < records.size();) {
      std::string text;
      for (size_t left = random() % 4; left > 0 && i < records.size(); --left) text += records[i++];
      deltas.push_back(delta_of(text));
    }
    deltas.push_back(delta_of("", 1, FinishReason::kStop));
    // A reasoning record counts as a token of it: the sums agree, whatever the splits.
    EXPECT_EQ(without_ids(sum_up(streamed(kBody, deltas))), without_ids(whole(kBody, deltas)));
  }
}

TEST(MessageStream, ReportsCachedTokensAtTheEnd) {
  const std::vector<OrderedJson> events =
      streamed(kBody, {delta_of(content("a"), 1, FinishReason::kStop)}, {.num_cached_tokens = 2});
  const int64_t all = events[0]["message"]["usage"]["input_tokens"];
  const OrderedJson& usage = events[events.size() - 2]["usage"];
  EXPECT_EQ(usage["input_tokens"], all - 2);
  EXPECT_EQ(usage["cache_read_input_tokens"], 2);
  EXPECT_EQ(usage["output_tokens"], 1);
}

TEST(MessageStream, TellsFailuresAndSilence) {
  const FakeServer server;
  const ApiCall call = read_messages_call(with_field(kBody, "stream", "true"), server.context);
  ServerEvents events = call.writer->failure({.status = 503, .message = "too busy"});
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].name, "error");
  EXPECT_EQ(events[0].data,
            R"({"type":"error","error":{"type":"overloaded_error","message":"too busy"}})");
  events = call.writer->keep_alive();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].name, "ping");
  EXPECT_EQ(events[0].data, R"({"type":"ping"})");
}

TEST(WholeMembers, KeepWhatWasCompleteWhenACallWasCutOff) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"({"a": 1, "b": "x"})", R"({"a":1,"b":"x"})"},
      {R"({"a": 1, "b": "x)", R"({"a":1})"},
      {R"({"a": 1, "b": "x")", R"({"a":1,"b":"x"})"},
      {R"({"a": 1, "b")", R"({"a":1})"},
      {R"({"a": 1,)", R"({"a":1})"},
      {R"({"a": {"b": 1, "c": 2)", "{}"},
      {R"({"a": "x, \"y\", )", "{}"},
      {R"({"a": "\)", "{}"},
      {"{", "{}"},
      {"", "{}"},
      {"[1]", "{}"},
      {R"({"a": [1, 2], "b": [1, )", R"({"a":[1,2]})"},
  };
  for (const auto& [arguments, wanted] : kCases) {
    EXPECT_EQ(whole_members(arguments).dump(), wanted) << arguments;
  }
}

}  // namespace
}  // namespace glmoe::serve::anthropic
