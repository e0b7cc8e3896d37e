#include "serve/client/chunk.h"

#include <gtest/gtest.h>

#include "serve/client/failure.h"

namespace glmoe::serve {
namespace {

TEST(Chunk, ReadsChatsAndCompletionsOfDifferentServers) {
  EXPECT_EQ(parse_chunk("", R"({"choices":[{"delta":{"content":"a"}}]})").content, "a");
  EXPECT_EQ(parse_chunk("", R"({"choices":[{"text":"b","logprobs":null}]})").content, "b");
  EXPECT_EQ(parse_chunk("", R"({"choices":[{"delta":{"reasoning":"c"}}]})").reasoning, "c");
  const Chunk both = parse_chunk(
      "", R"({"choices":[{"delta":{"reasoning_content":"d","reasoning":"d","content":null}}]})");
  EXPECT_EQ(both.reasoning, "d");
  EXPECT_TRUE(both.content.empty());
  EXPECT_TRUE(parse_chunk("", R"({"choices":[{"delta":{"tool_calls":[{"index":0}]}}]})").tool_call);
  EXPECT_EQ(parse_chunk("", R"({"choices":[{"message":{"content":"e"}}]})").content, "e");
}

TEST(Chunk, WithARoleAloneHasNoTokens) {
  const Chunk chunk = parse_chunk(
      "", R"({"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]})");
  EXPECT_FALSE(chunk.has_tokens());
  EXPECT_TRUE(chunk.finish_reason.empty());
}

TEST(Chunk, TakesUsageWhereverItStands) {
  const Chunk last =
      parse_chunk("", R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,
              "prompt_tokens_details":{"cached_tokens":4}}})");
  ASSERT_TRUE(last.usage.has_value());
  EXPECT_EQ(last.usage->prompt_tokens, 5);
  EXPECT_EQ(last.usage->completion_tokens, 7);
  EXPECT_EQ(last.usage->cached_tokens, 4);
  EXPECT_FALSE(parse_chunk("", R"({"choices":[],"usage":null})").usage.has_value());
  EXPECT_FALSE(parse_chunk("", R"({"choices":[]})").usage.has_value());
}

TEST(Chunk, KnowsErrorsInAllTheirForms) {
  EXPECT_EQ(parse_chunk("", R"({"error":{"message":"full"}})").error, "full");
  EXPECT_EQ(parse_chunk("", R"({"error":"full"})").error, "full");
  EXPECT_EQ(parse_chunk("error", R"({"message":"full"})").error, "full");
  EXPECT_EQ(parse_chunk("", R"({"object":"error","message":"full"})").error, "full");
  EXPECT_FALSE(parse_chunk("error", "{}").error.empty());
}

TEST(Chunk, IsDoneOnlyWithTheMark) {
  EXPECT_TRUE(parse_chunk("", "[DONE]").done);
  EXPECT_TRUE(parse_chunk("", " [DONE]").done);
  EXPECT_FALSE(parse_chunk("", "").done);
  EXPECT_FALSE(parse_chunk("", "{}").done);
}

TEST(Chunk, OfAnotherShapeThanJsonObjectsIsAProtocolFailure) {
  for (const char* text : {"{", "hello", "[1]", "\"x\"", "{\"choices\": [", "\xff"}) {
    try {
      parse_chunk("", text);
      ADD_FAILURE() << text;
    } catch (const RequestFailed& error) {
      EXPECT_EQ(error.failure().kind, FailureKind::kProtocol);
    }
  }
  // Fields of other types than expected are as good as absent.
  EXPECT_FALSE(parse_chunk("", R"({"choices":{"0":1},"usage":[1]})").has_tokens());
  EXPECT_FALSE(parse_chunk("", R"({"choices":[1,null,{"delta":5}]})").has_tokens());
}

TEST(FirstLine, IsCutBetweenCharacters) {
  EXPECT_EQ(first_line("caf\xc3\xa9s\nmore", 4), "caf");
  EXPECT_EQ(first_line("caf\xc3\xa9s\nmore", 50), "caf\xc3\xa9s");
  EXPECT_EQ(first_line("a\xff", 50), "a\xef\xbf\xbd");
}

}  // namespace
}  // namespace glmoe::serve
