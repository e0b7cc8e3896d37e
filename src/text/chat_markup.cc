#include "text/chat_markup.h"

#include <algorithm>

namespace glmoe {
namespace {

int32_t added_token(const Tokenizer& tokenizer, std::string_view text) {
  const auto id = tokenizer.token_id(text);
  return id && tokenizer.is_added(*id) ? *id : -1;
}

}  // namespace

ChatMarkup::ChatMarkup(const Tokenizer& tokenizer) {
  static constexpr std::string_view kTags[] = {"<think>",      "</think>",    "<tool_call>",
                                               "</tool_call>", "<arg_key>",   "</arg_key>",
                                               "<arg_value>",  "</arg_value>"};
  static constexpr std::string_view kTurns[] = {"<|assistant|>", "<|user|>", "<|system|>",
                                                "<|observation|>"};
  for (size_t i = 0; i < ids_.size(); ++i) {
    ids_[i] = added_token(tokenizer, kTags[i]);
    if (ids_[i] < 0) continue;
    lowest_ = std::min(lowest_, ids_[i]);
    highest_ = std::max(highest_, ids_[i]);
  }
  for (size_t i = 0; i < turns_.size(); ++i) turns_[i] = added_token(tokenizer, kTurns[i]);
}

std::span<const int32_t> ChatMarkup::open_turn(std::span<const int32_t> prompt) const {
  const auto turn = std::find_first_of(prompt.rbegin(), prompt.rend(), turns_.begin(), turns_.end(),
                                       [](int32_t id, int32_t mark) { return id == mark; });
  if (turn == prompt.rend() || *turn != turns_[0] || *turn < 0) return {};
  return prompt.last(static_cast<size_t>(turn - prompt.rbegin()));
}

}  // namespace glmoe
