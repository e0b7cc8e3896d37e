// Mirrors: src/text/chat_parser.cc, src/text/answer_reader.cc, src/text/chat_markup.cc,
// src/text/trimmed_text.h. Every case runs with a token a delta and in one delta, with tags that
// are special and that are not, in the text and left out of it: the results are the same.
#include "text/chat_parser.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/error.h"
#include "support/chat_answer.h"

namespace glmoe {
namespace {

using testing::chat_tokenizer;
using testing::engine_deltas;
using testing::Ids;
using testing::ParsedAnswer;
using testing::ParsedCall;

const char* const kTools = R"([
  {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"},
                   "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                   "tags": {"type": "array", "items": {"type": "string"}},
                   "metric": {"type": "boolean"}}}}},
  {"type": "function", "function": {"name": "run_in_terminal", "parameters": {"type": "object",
    "properties": {"command": {"type": "string"}}}}},
  {"type": "function", "function": {"name": "get_time"}}])";

const std::string kPrompt46 = "[gMASK]<sop><|user|>\nHi<|assistant|>";
const std::string kPrompt46Off = kPrompt46 + "\n<think></think>";
const std::string kPrompt47 = "[gMASK]<sop><|user|>Hi<|assistant|><think>";
const std::string kPrompt47Off = "[gMASK]<sop><|user|>Hi<|assistant|></think>";

struct Case {
  std::string prompt = kPrompt46Off;
  FinishReason reason = FinishReason::kStop;  // by <|user|>, which is added
  SamplingParams sampling = {};
  ChatParserOptions options = {.tools_json = kTools};
};

class ChatParserTest : public ::testing::Test {
 protected:
  // `write` puts the answer's ids down; it is run for both tokenizers.
  template <class Write>
  ParsedAnswer parse_ids(const Case& c, Write&& write) {
    std::vector<ParsedAnswer> results;
    for (const auto& tokenizer : {special_, plain_}) {
      Ids answer(*tokenizer);
      write(answer);
      if (c.reason == FinishReason::kStop) answer.tag("<|user|>");
      for (const bool skip : {true, false}) {
        // Where special tags are left out of the text, parsers that are off can't show them.
        const bool hides = tokenizer == special_ && skip;
        if (hides && !(c.options.parse_tools && c.options.parse_reasoning)) continue;
        SamplingParams sampling = c.sampling;
        sampling.skip_special_tokens = skip;
        const std::vector<int32_t> prompt = tokenizer->encode(c.prompt);
        const auto deltas = engine_deltas(*tokenizer, answer.ids, c.reason, sampling,
                                          [](size_t) { return size_t{1}; });
        for (const auto& cut : {deltas, std::vector{testing::joined(deltas)}}) {
          results.push_back(testing::parse_deltas(tokenizer, prompt, cut, c.options));
        }
      }
    }
    for (const ParsedAnswer& result : results) {
      EXPECT_TRUE(result.well_formed);
      EXPECT_EQ(result.reasoning, results[0].reasoning);
      EXPECT_EQ(result.content, results[0].content);
      EXPECT_EQ(result.calls, results[0].calls);
      EXPECT_EQ(result.num_reasoning_tokens, results[0].num_reasoning_tokens);
    }
    return results[0];
  }
  ParsedAnswer parse(const std::string& answer, const Case& c = {}) {
    return parse_ids(c, [&](Ids& ids) { ids.marked(answer); });
  }
  // The arguments of a call of get_weather with this inside.
  std::string arguments(const std::string& inside) {
    const ParsedAnswer result = parse("<tool_call>get_weather\n" + inside + "</tool_call>");
    if (result.calls.size() != 1) return "no call";
    EXPECT_EQ(result.calls[0].name, "get_weather");
    return result.calls[0].arguments;
  }

  const std::shared_ptr<const Tokenizer> special_ = chat_tokenizer(true);
  const std::shared_ptr<const Tokenizer> plain_ = chat_tokenizer(false);
};

// --- reasoning ---

TEST_F(ChatParserTest, SplitsReasoningOfEveryTemplate) {
  const auto r46 = parse("\n<think>Let me see.</think>\nHello!", {.prompt = kPrompt46});
  EXPECT_EQ(r46.reasoning, "Let me see.");
  EXPECT_EQ(r46.content, "Hello!");
  const auto r47 = parse("Let me see.</think>Hello!", {.prompt = kPrompt47});
  EXPECT_EQ(r47.reasoning, "Let me see.");
  EXPECT_EQ(r47.content, "Hello!");
  for (const std::string& prompt : {kPrompt46Off, kPrompt47Off}) {
    const auto off = parse("\nHello!", {.prompt = prompt});
    EXPECT_EQ(off.reasoning, "");
    EXPECT_EQ(off.content, "Hello!");
    EXPECT_EQ(off.num_reasoning_tokens, 0);
  }
}

TEST_F(ChatParserTest, CountsReasoningTokensWithoutTheTags) {
  const auto count = static_cast<int64_t>(plain_->encode("One two three, four.").size());
  EXPECT_EQ(
      parse("<think>One two three, four.</think>Five.", {.prompt = kPrompt46}).num_reasoning_tokens,
      count);
  EXPECT_EQ(parse("One two three, four.", {.prompt = kPrompt47, .reason = FinishReason::kLength})
                .num_reasoning_tokens,
            count);
  EXPECT_EQ(parse("<think>One two three, four.</think>Five.",
                  {.prompt = kPrompt46, .options = {.parse_reasoning = false}})
                .num_reasoning_tokens,
            count);
}

TEST_F(ChatParserTest, LeavesUnendedReasoningToBeReasoning) {
  for (const FinishReason reason :
       {FinishReason::kLength, FinishReason::kStop, FinishReason::kCancelled}) {
    const auto result = parse("Hm, wait. ", {.prompt = kPrompt47, .reason = reason});
    EXPECT_EQ(result.reasoning, "Hm, wait. ");
    EXPECT_EQ(result.content, "");
  }
}

TEST_F(ChatParserTest, IgnoresRepeatedAndStrayThinkTags) {
  const auto twice = parse("<think>\nA<think>B</think>C</think>D", {.prompt = kPrompt47});
  EXPECT_EQ(twice.reasoning, "AB");
  EXPECT_EQ(twice.content, "CD");
}

TEST_F(ChatParserTest, GoesBackToReasoningForASecondBlock) {
  const auto result = parse("<think>A</think>\nB\n<think>C</think>\nD", {.prompt = kPrompt46});
  EXPECT_EQ(result.reasoning, "AC");
  EXPECT_EQ(result.content, "B\n\nD");
}

TEST_F(ChatParserTest, EndsReasoningAtAToolCall) {
  const auto result = parse("I need it.\n<tool_call>get_time</tool_call>", {.prompt = kPrompt47});
  EXPECT_EQ(result.reasoning, "I need it.");
  EXPECT_EQ(result.content, "");
  EXPECT_EQ(result.calls, (std::vector<ParsedCall>{{"get_time", "{}"}}));
}

TEST_F(ChatParserTest, TakesACallBackWhoseNameEndsInThinkEnd) {
  const auto result = parse("I could use <tool_call> here</think>No call.", {.prompt = kPrompt47});
  EXPECT_EQ(result.calls.size(), 0u);
  EXPECT_EQ(result.content, "No call.");
  const auto later = parse("<tool_call>get_time\n</think>Done.", {.prompt = kPrompt47});
  EXPECT_EQ(later.calls, (std::vector<ParsedCall>{{"get_time", "{}"}}));
  EXPECT_EQ(later.content, "Done.");
}

TEST_F(ChatParserTest, LeavesReasoningInTheContentOnRequest) {
  const auto result =
      parse("<think>A</think>\nB", {.prompt = kPrompt46, .options = {.parse_reasoning = false}});
  EXPECT_EQ(result.reasoning, "");
  EXPECT_EQ(result.content, "<think>A</think>\nB");
}

// --- the state that the prompt leaves ---

TEST_F(ChatParserTest, TakesOnlyTheAssistantsOpenTurnIntoAccount) {
  const auto raw = parse("Hello!", {.prompt = "Once upon a time <think>"});
  EXPECT_EQ(raw.content, "Hello!");
  const auto turn_over = parse("Hello!", {.prompt = "<|assistant|><think>A<|user|>\nHi"});
  EXPECT_EQ(turn_over.content, "Hello!");
  const auto earlier =
      parse("Hello!", {.prompt = "<|assistant|><think>A<|user|>\nHi<|assistant|>"});
  EXPECT_EQ(earlier.content, "Hello!");
}

TEST_F(ChatParserTest, GoesOnWithContentThatThePromptBegan) {
  const auto result = parse("\n  world", {.prompt = kPrompt46Off + "\nHello,\n"});
  EXPECT_EQ(result.content, "\n  world");
}

TEST_F(ChatParserTest, ReportsACallThatThePromptForced) {
  const auto named = parse("<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>",
                           {.prompt = kPrompt46Off + "\n<tool_call>get_weather\n"});
  EXPECT_EQ(named.calls, (std::vector<ParsedCall>{{"get_weather", R"({"city": "Oslo"})"}}));
  const auto required = parse("get_time\n</tool_call>\n<tool_call>get_time</tool_call>",
                              {.prompt = kPrompt47Off + "<tool_call>"});
  EXPECT_EQ(required.calls, (std::vector<ParsedCall>{{"get_time", "{}"}, {"get_time", "{}"}}));
  const auto begun = parse(
      "lo</arg_value></tool_call>",
      {.prompt = kPrompt47Off + "<tool_call>get_time</tool_call><tool_call>get_weather<arg_key>"
                                "city</arg_key><arg_value>Os"});
  EXPECT_EQ(begun.calls, (std::vector<ParsedCall>{{"get_weather", R"({"city": "Oslo"})"}}));
}

TEST_F(ChatParserTest, GivesAForcedCallsNameWithTheFirstDelta) {
  ChatAnswerParser parser(plain_, plain_->encode(kPrompt46Off + "\n<tool_call>get_weather\n"),
                          {.tools_json = kTools});
  EXPECT_EQ(parser.num_tool_calls(), 1);
  const ChatDelta first = parser.feed({.text = "\n", .token_ids = plain_->encode("\n")});
  ASSERT_EQ(first.tool_calls.size(), 1u);
  EXPECT_EQ(first.tool_calls[0].name, "get_weather");
  EXPECT_TRUE(parser.feed({.text = "\n", .token_ids = plain_->encode("\n")}).empty());
}

// --- calls ---

TEST_F(ChatParserTest, ReadsCallsOfBothFormats) {
  const std::vector<ParsedCall> wanted = {{"get_weather", R"({"city": "Oslo", "days": 3})"},
                                          {"run_in_terminal", R"({"command": "ls -l"})"}};
  EXPECT_EQ(parse("\nI'll look.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n"
                  "<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n"
                  "</tool_call>\n<tool_call>run_in_terminal\n<arg_key>command</arg_key>\n"
                  "<arg_value>ls -l</arg_value>\n</tool_call>")
                .calls,
            wanted);
  const auto result = parse(
      "I'll look.<tool_call>get_weather<arg_key>city</arg_key><arg_value>Oslo</arg_value>"
      "<arg_key>days</arg_key><arg_value>3</arg_value></tool_call><tool_call>"
      "run_in_terminal<arg_key>command</arg_key><arg_value>ls -l</arg_value></tool_call>",
      {.prompt = kPrompt47Off});
  EXPECT_EQ(result.calls, wanted);
  EXPECT_EQ(result.content, "I'll look.");
}

TEST_F(ChatParserTest, ReadsCallsWithoutArguments) {
  for (const std::string inside :
       {"get_time", "get_time\n", "\nget_time\n", " get_time ", "get_time\\n", "get_time\n\n"}) {
    EXPECT_EQ(parse("<tool_call>" + inside + "</tool_call>").calls,
              (std::vector<ParsedCall>{{"get_time", "{}"}}))
        << inside;
  }
}

TEST_F(ChatParserTest, GivesTheNameWholeAndFirst) {
  Ids ids(*plain_);
  ids.tag("<tool_call>").bytes("run_in_terminal").tag("<arg_key>").text("command");
  ids.tag("</arg_key>").tag("<arg_value>").text("ls -l /");
  ChatAnswerParser parser(plain_, {}, {.tools_json = kTools});
  std::vector<ToolCallDelta> pieces;
  std::string before_key;
  for (const OutputDelta& delta : engine_deltas(*plain_, ids.ids, FinishReason::kLength, {},
                                                [](size_t) { return size_t{1}; })) {
    const ChatDelta parsed = parser.feed(delta);
    pieces.insert(pieces.end(), parsed.tool_calls.begin(), parsed.tool_calls.end());
    // Nothing of the name before it is complete, all of it with the token that ends it.
    if (delta.token_ids[0] == *plain_->token_id("<arg_key>")) {
      ASSERT_EQ(pieces.size(), 1u);
      EXPECT_EQ(pieces[0].name, "run_in_terminal");
    }
  }
  ASSERT_GE(pieces.size(), 3u);  // and the value comes in several pieces
  for (size_t i = 1; i < pieces.size(); ++i) EXPECT_EQ(pieces[i].name, "");
}

TEST_F(ChatParserTest, StreamsStringsWhileTheyCome) {
  const std::string file(300, 'x');
  Ids ids(*plain_);
  ids.marked("<tool_call>run_in_terminal<arg_key>command</arg_key><arg_value>").bytes(file);
  ChatAnswerParser parser(plain_, {}, {.tools_json = kTools});
  size_t streamed = 0;
  for (const OutputDelta& delta : engine_deltas(*plain_, ids.ids, FinishReason::kLength, {},
                                                [](size_t) { return size_t{1}; })) {
    const ChatDelta parsed = parser.feed(delta);
    if (delta.text != "x") continue;
    ASSERT_EQ(parsed.tool_calls.size(), 1u);
    EXPECT_EQ(parsed.tool_calls[0].arguments, "x");
    ++streamed;
  }
  EXPECT_EQ(streamed, file.size());
}

TEST_F(ChatParserTest, StreamsAStringOrNullAsSoonAsItIsNotNull) {
  EXPECT_EQ(arguments("<arg_key>note</arg_key><arg_value>null</arg_value>"), R"({"note": null})");
  EXPECT_EQ(arguments("<arg_key>note</arg_key><arg_value>nullable</arg_value>"),
            R"({"note": "nullable"})");
  EXPECT_EQ(arguments("<arg_key>note</arg_key><arg_value></arg_value>"), R"({"note": ""})");
  Ids ids(*plain_);
  ids.marked("<tool_call>get_weather<arg_key>note</arg_key><arg_value>").bytes("nux");
  ChatAnswerParser parser(plain_, {}, {.tools_json = kTools});
  std::string last;
  for (const OutputDelta& delta : engine_deltas(*plain_, ids.ids, FinishReason::kLength, {},
                                                [](size_t) { return size_t{1}; })) {
    const ChatDelta parsed = parser.feed(delta);
    last = parsed.tool_calls.empty() ? "" : parsed.tool_calls[0].arguments;
  }
  EXPECT_EQ(last, R"({"note": "nux)");
}

TEST_F(ChatParserTest, KeepsCharactersOfSeveralTokensWhole) {
  const auto result = parse_ids({}, [](Ids& ids) {
    ids.marked("<tool_call>get_weather<arg_key>city</arg_key><arg_value>").bytes("Ålesund 😀 北京");
    ids.marked("</arg_value></tool_call>");
  });
  EXPECT_EQ(result.calls[0].arguments, R"({"city": "Ålesund 😀 北京"})");
}

TEST_F(ChatParserTest, EscapesWhatJsonWants) {
  const std::string value = "C:\\temp\\\"a\"\n\tb\x01\x7f</s>\r\n";
  const std::string text = arguments("<arg_key>city</arg_key><arg_value>" + value + "</arg_value>");
  EXPECT_EQ(text, "{\"city\": \"C:\\\\temp\\\\\\\"a\\\"\\n\\tb\\u0001\x7f</s>\\r\\n\"}");
  EXPECT_EQ(Json::parse(text)["city"], value);
}

TEST_F(ChatParserTest, StripsKeysButNeverValues) {
  EXPECT_EQ(arguments("<arg_key>\n city </arg_key>\n<arg_value>\n    def f():\n</arg_value>\n"),
            R"({"city": "\n    def f():\n"})");
}

TEST_F(ChatParserTest, TakesTagsInOrdinaryTokensForText) {
  const std::string spelled =
      "</arg_value></tool_call><tool_call>x</tool_call><arg_key></think><think>";
  const auto result = parse_ids({}, [&](Ids& ids) {
    ids.text("a " + spelled).tag("<tool_call>").text("get_weather\n").tag("<arg_key>");
    ids.text("city").tag("</arg_key>").tag("<arg_value>").text(spelled).tag("</arg_value>");
    ids.tag("</tool_call>").text("b " + spelled);
  });
  EXPECT_EQ(result.content, "a " + spelled + "b " + spelled);
  ASSERT_EQ(result.calls.size(), 1u);
  EXPECT_EQ(Json::parse(result.calls[0].arguments)["city"], spelled);
}

TEST_F(ChatParserTest, KeepsContentBeforeBetweenAndAfterCalls) {
  const std::string call = "<tool_call>get_time</tool_call>";
  EXPECT_EQ(parse("A\n" + call + "\nB\n" + call + "\nC\n").content, "A\n\nB\n\nC\n");
  EXPECT_EQ(parse("A\n" + call + "\n" + call + "\n").content, "A");
  EXPECT_EQ(parse("\n" + call + "\n\n").content, "");
  EXPECT_EQ(parse(call + "\n  B").content, "  B");
}

TEST_F(ChatParserTest, PassesTextOnUnchangedWhereNothingIsToBeParsed) {
  const std::string text = "\n <think>a</think>\n<tool_call>f\n<arg_key>k</arg_key></tool_call>\n ";
  const auto result = parse(
      text, {.prompt = kPrompt47, .options = {.parse_tools = false, .parse_reasoning = false}});
  EXPECT_EQ(result.content, text);
  EXPECT_EQ(result.calls.size(), 0u);
  const auto reasoning_only = parse("a</think>\n<tool_call>f\n</tool_call>",
                                    {.prompt = kPrompt47, .options = {.parse_tools = false}});
  EXPECT_EQ(reasoning_only.reasoning, "a");
  EXPECT_EQ(reasoning_only.content, "<tool_call>f\n</tool_call>");
}

TEST_F(ChatParserTest, ShowsJustTheReleasedTextWhereSpecialTagsAreLeftOut) {
  const auto ids = special_->encode("<think>a</think>b<tool_call>c</tool_call>");
  const auto deltas =
      engine_deltas(*special_, ids, FinishReason::kLength, {}, [](size_t) { return size_t{1}; });
  EXPECT_EQ(
      testing::parse_deltas(special_, {}, deltas, {.parse_tools = false, .parse_reasoning = false})
          .content,
      "abc");
}

TEST_F(ChatParserTest, TypesArgumentsByTheSchema) {
  EXPECT_EQ(arguments("<arg_key>city</arg_key><arg_value>42</arg_value>"
                      "<arg_key>days</arg_key><arg_value>\"42\"</arg_value>"
                      "<arg_key>tags</arg_key><arg_value>['a', 'b']</arg_value>"
                      "<arg_key>metric</arg_key><arg_value>True</arg_value>"
                      "<arg_key>other</arg_key><arg_value>{\"a\": [1]}</arg_value>"
                      "<arg_key>text</arg_key><arg_value>hello</arg_value>"),
            R"({"city": "42", "days": 42, "tags": ["a", "b"], "metric": true, )"
            R"("other": {"a": [1]}, "text": "hello"})");
}

TEST_F(ChatParserTest, PassesUnknownToolsOn) {
  EXPECT_EQ(parse("<tool_call>nobody\n<arg_key>a</arg_key><arg_value>1</arg_value>"
                  "<arg_key>b</arg_key><arg_value>x</arg_value></tool_call>")
                .calls,
            (std::vector<ParsedCall>{{"nobody", R"({"a": 1, "b": "x"})"}}));
}

// --- malformed calls ---

TEST_F(ChatParserTest, KeepsTheFirstOfTwoEqualKeys) {
  EXPECT_EQ(arguments("<arg_key>city</arg_key><arg_value>A</arg_value>"
                      "<arg_key>city </arg_key><arg_value>B</arg_value>"
                      "<arg_key>days</arg_key><arg_value>1</arg_value>"),
            R"({"city": "A", "days": 1})");
}

TEST_F(ChatParserTest, LeavesOutKeysWithoutAValueAndValuesWithoutAKey) {
  EXPECT_EQ(arguments("<arg_key>city</arg_key>"), "{}");
  EXPECT_EQ(arguments("<arg_key>city"), "{}");
  EXPECT_EQ(arguments("<arg_key>city</arg_key><arg_key>days</arg_key><arg_value>2</arg_value>"),
            R"({"days": 2})");
  EXPECT_EQ(arguments("<arg_value>2</arg_value>"), "{}");
  EXPECT_EQ(arguments("</arg_value></arg_key>noise"), "{}");
}

TEST_F(ChatParserTest, MendsForgottenTags) {
  EXPECT_EQ(arguments("<arg_key>city<arg_value>A</arg_value>"), R"({"city": "A"})");
  EXPECT_EQ(arguments("<arg_key>city</arg_key><arg_value>A"), R"({"city": "A"})");
  EXPECT_EQ(arguments("<arg_key>days</arg_key><arg_value>7"), R"({"days": 7})");
  const auto result = parse("<tool_call>get_time\n<tool_call>get_time\n</tool_call></tool_call>");
  EXPECT_EQ(result.calls, (std::vector<ParsedCall>{{"get_time", "{}"}, {"get_time", "{}"}}));
  EXPECT_EQ(result.content, "");
}

TEST_F(ChatParserTest, LeavesNoTraceOfACallWithoutAName) {
  const auto result = parse(
      "A<tool_call>\n<arg_key>k</arg_key><arg_value>v</arg_value></tool_call><tool_call>"
      "</tool_call><tool_call>get_time</tool_call>B");
  EXPECT_EQ(result.calls, (std::vector<ParsedCall>{{"get_time", "{}"}}));
  EXPECT_EQ(result.content, "AB");
}

// --- the end of the answer ---

TEST_F(ChatParserTest, ClosesACallOnlyWhereTheModelEndedItsTurnBetweenArguments) {
  const std::string whole = "<tool_call>get_weather<arg_key>city</arg_key><arg_value>A</arg_value>";
  EXPECT_EQ(parse(whole).calls[0].arguments, R"({"city": "A"})");
  EXPECT_EQ(parse("<tool_call>get_time").calls, (std::vector<ParsedCall>{{"get_time", "{}"}}));
  for (const FinishReason reason : {FinishReason::kLength, FinishReason::kCancelled,
                                    FinishReason::kError, FinishReason::kTimeout}) {
    EXPECT_EQ(parse(whole, {.reason = reason}).calls[0].arguments, R"({"city": "A")");
    EXPECT_EQ(parse("<tool_call>get_time", {.reason = reason}).calls.size(), 0u);
  }
  const std::string open = "<tool_call>get_weather<arg_key>city</arg_key><arg_value>A";
  EXPECT_EQ(parse(open).calls[0].arguments, R"({"city": "A)");
  EXPECT_EQ(parse(whole + "<arg_key>days</arg_key><arg_value>1").calls[0].arguments,
            R"({"city": "A")");
}

TEST_F(ChatParserTest, StopStringsCutReasoningContentAndArgumentsAlike) {
  SamplingParams sampling;
  sampling.stop = {"STOP"};
  EXPECT_EQ(parse("aSTOPb</think>c", {.prompt = kPrompt47, .sampling = sampling}).reasoning, "a");
  const auto content = parse("a</think>bSTOPc", {.prompt = kPrompt47, .sampling = sampling});
  EXPECT_EQ(content.reasoning, "a");
  EXPECT_EQ(content.content, "b");
  const auto cut = parse(
      "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Oslo STOP x</arg_value></tool_call>",
      {.sampling = sampling});
  EXPECT_EQ(cut.calls, (std::vector<ParsedCall>{{"get_weather", R"({"city": "Oslo )"}}));
  sampling.include_stop_str_in_output = true;
  const auto kept = parse("a</think>bSTOPc", {.prompt = kPrompt47, .sampling = sampling});
  EXPECT_EQ(kept.content, "bSTOP");
}

TEST_F(ChatParserTest, StopStringsMayBeSpelledByTags) {
  SamplingParams sampling;
  sampling.stop = {"</tool"};
  sampling.skip_special_tokens = false;
  const auto ids = plain_->encode("A<tool_call>get_time\n</tool_call>B");
  for (const bool include : {false, true}) {
    sampling.include_stop_str_in_output = include;
    const auto deltas = engine_deltas(*plain_, ids, FinishReason::kLength, sampling,
                                      [](size_t) { return size_t{1}; });
    EXPECT_EQ(deltas.back().stop_reason, "</tool");
    const auto result = testing::parse_deltas(plain_, {}, deltas, {.tools_json = kTools});
    EXPECT_EQ(result.calls, (std::vector<ParsedCall>{{"get_time", ""}}));
    EXPECT_EQ(result.content, "A");
  }
}

TEST_F(ChatParserTest, HoldsBackWhatTheEngineHoldsBack) {
  ChatAnswerParser parser(plain_, {}, {});
  const auto ids = Ids(*plain_).bytes("ab").ids;
  EXPECT_EQ(parser.feed({.text = "a", .token_ids = ids}).content, "a");
  EXPECT_EQ(parser.feed({.text = "b", .finish_reason = FinishReason::kLength}).content, "b");
  EXPECT_TRUE(parser.feed({.text = "c", .token_ids = ids}).empty());  // it is over
}

TEST_F(ChatParserTest, ShowsAnUnfinishedCharacterAtTheEnd) {
  const Case c{.reason = FinishReason::kLength};
  EXPECT_EQ(parse_ids(c, [](Ids& ids) { ids.text("a").bytes("\xF0\x9F"); }).content, "a\uFFFD");
}

TEST_F(ChatParserTest, RefusesMalformedTools) {
  for (const std::string tools : {"{", "{}", "[1]", "[{}] x", "[{\"a\": 1, \"a\": 2}]"}) {
    try {
      ChatAnswerParser parser(plain_, {}, {.tools_json = tools});
      ADD_FAILURE() << tools;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    }
  }
}

// Long answers of every kind of token, one a delta: the time grows with the length, not its square.
TEST_F(ChatParserTest, TakesLinearTime) {
  const std::pair<std::string, std::string> kinds[] = {
      {"", " a"},
      {"", "\n"},
      {"", "<tool_call>"},
      {"<tool_call>", "a"},
      {"<tool_call>", "\n"},
      {"<tool_call>get_weather\n<arg_key>city</arg_key><arg_value>", "\""},
      {"<tool_call>get_weather\n<arg_key>note</arg_key><arg_value>", " "},
      {"<tool_call>get_weather\n<arg_key>tags</arg_key><arg_value>", "["},
      {"<tool_call>get_weather\n", "<arg_key>a</arg_key><arg_value>b</arg_value>"}};
  for (const auto& [start, repeated] : kinds) {
    Ids ids(*plain_);
    ids.marked(start);
    while (ids.ids.size() < 200'000) ids.marked(repeated);
    const auto deltas = engine_deltas(*plain_, ids.ids, FinishReason::kLength, {},
                                      [](size_t) { return size_t{1}; });
    const auto begin = std::chrono::steady_clock::now();
    testing::parse_deltas(plain_, {}, deltas, {.tools_json = kTools});
    // About 0.02 s; squares of the length would take minutes.
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)) << repeated;
  }
}

}  // namespace
}  // namespace glmoe
