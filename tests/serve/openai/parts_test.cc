#include "serve/openai/parts.h"

#include <gmock/gmock.h>

#include <limits>

#include "serve/fake_text.h"

namespace glmoe::serve::openai {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Logprobs, HaveNoInfinities) {
  EXPECT_EQ(finite_logprob(-kInfinity), -9999.0);
  EXPECT_EQ(finite_logprob(-20000.0f), -9999.0);
  EXPECT_EQ(finite_logprob(std::numeric_limits<float>::quiet_NaN()), -9999.0);
  EXPECT_EQ(finite_logprob(-0.5f), -0.5);
}

TEST(ChatLogprobs, ShowTheMostLikelyInTheirOrder) {
  const testing::FakeText text;
  const std::vector<PositionLogprobs> positions = {
      {{'c', -3.0f, 3}, {'a', -1.0f, 1}, {'b', -2.0f, 2}}};
  const auto tops = [&](int64_t count) {
    std::string tokens;
    const OrderedJson content = chat_logprobs(positions, count, text);
    for (const OrderedJson& top : content[0]["top_logprobs"]) {
      tokens += top["token"].get<std::string>();
    }
    return tokens;
  };
  EXPECT_EQ(tops(0), "");
  EXPECT_EQ(tops(2), "ab");
  EXPECT_EQ(tops(3), "abc");
  EXPECT_EQ(tops(20), "abc");
}

TEST(ChatLogprobs, GiveTheBytesOfATokenThatIsPartOfACharacter) {
  const testing::FakeText text;
  const OrderedJson entry = chat_logprobs({{{0xE2, -1.0f, 1}}}, 0, text)[0];
  EXPECT_EQ(entry["token"], "\xEF\xBF\xBD");
  EXPECT_EQ(entry["bytes"].dump(), "[226]");
}

TEST(CompletionLogprobs, CountCharactersAndNameBytes) {
  const testing::FakeText text;
  CompletionLogprobs logprobs(text);
  // The euro sign in three tokens, then a letter; in two calls.
  const PositionLogprobs any = {{'x', -1.0f, 1}};
  OrderedJson json = logprobs.add({any, any}, {0xE2, 0x82});
  EXPECT_EQ(json["tokens"].dump(), R"(["bytes:\\xe2","bytes:\\x82"])");
  EXPECT_EQ(json["text_offset"].dump(), "[0,1]");
  json = logprobs.add({any, any}, {0xAC, 'y'});
  EXPECT_EQ(json["text_offset"].dump(), "[1,1]");
}

}  // namespace
}  // namespace glmoe::serve::openai
