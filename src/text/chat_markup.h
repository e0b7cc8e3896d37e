// The tokens that structure a chat model's answer, found by their text in the tokenizer.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "text/tokenizer.h"

namespace glmoe {

enum class Markup : uint8_t {
  kNone,  // not markup
  kThink,
  kThinkEnd,
  kToolCall,
  kToolCallEnd,
  kArgKey,
  kArgKeyEnd,
  kArgValue,
  kArgValueEnd,
};

// Only added tokens count: the same characters in ordinary tokens are text. Markup that a tokenizer
// lacks never occurs.
class ChatMarkup {
 public:
  explicit ChatMarkup(const Tokenizer& tokenizer);

  Markup of(int32_t id) const {
    if (id < lowest_ || id > highest_) return Markup::kNone;
    for (size_t i = 0; i < ids_.size(); ++i) {
      if (ids_[i] == id) return static_cast<Markup>(i + 1);
    }
    return Markup::kNone;
  }

  // What a prompt has already written of the assistant's turn: the ids after the last <|assistant|>
  // where no other turn begins behind it, else none.
  std::span<const int32_t> open_turn(std::span<const int32_t> prompt) const;

 private:
  std::array<int32_t, 8> ids_;    // by Markup, less kNone; -1: not in the tokenizer
  std::array<int32_t, 4> turns_;  // <|assistant|> and the other roles
  int32_t lowest_ = INT32_MAX, highest_ = -1;
};

}  // namespace glmoe
