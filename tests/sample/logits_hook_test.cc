#include "sample/logits_hook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::shared_ptr<const LogitsProcessor> shared(LogitsProcessor processor) {
  return std::make_shared<const LogitsProcessor>(std::move(processor));
}

TEST(LogitsHook, ShowsPromptAndAnswerInTheirOrder) {
  std::vector<int32_t> seen;
  LogitsHook hook(shared([&](std::span<const int32_t> tokens, std::span<float> logits) {
                    seen.assign(tokens.begin(), tokens.end());
                    logits[1] = 9.0f;
                  }),
                  std::vector<int32_t>{4, 5});
  hook.record(6);
  std::vector<float> logits = {1, 2, 3};
  EXPECT_EQ(hook.apply(logits), "");
  EXPECT_THAT(seen, ElementsAre(4, 5, 6));
  EXPECT_THAT(logits, ElementsAre(1, 9, 3));
}

TEST(LogitsHook, WithoutAProcessorItDoesNothing) {
  LogitsHook hook(nullptr, std::vector<int32_t>{4, 5});
  hook.record(6);
  std::vector<float> logits = {1, 2, 3};
  EXPECT_TRUE(hook.empty());
  EXPECT_EQ(hook.apply(logits), "");
  EXPECT_THAT(logits, ElementsAre(1, 2, 3));
}

TEST(LogitsHook, WhatTheProcessorThrowsBecomesAnError) {
  std::vector<float> logits = {1};
  const LogitsHook named(
      shared([](std::span<const int32_t>, std::span<float>) { throw std::out_of_range("row 7"); }),
      {});
  EXPECT_THAT(named.apply(logits), HasSubstr("row 7"));
  const LogitsHook odd(shared([](std::span<const int32_t>, std::span<float>) { throw 5; }), {});
  EXPECT_THAT(odd.apply(logits), HasSubstr("no std::exception"));
}

}  // namespace
}  // namespace glmoe
