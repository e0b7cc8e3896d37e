// Keeps text that spells a markup token (<|assistant|>, </tool_response>, ...) from becoming one
// when it is rendered into a prompt: a character that the request does not use is put inside it
// and taken out again when the prompt is encoded.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"
#include "text/tokenizer.h"

namespace glmoe {

class MarkupGuard {
 public:
  // `inputs`: all JSON texts of the request. Throws kInvalidArgument where these use every one of
  // Unicode's noncharacters of the basic plane, so that none is left to mark with.
  MarkupGuard(const Tokenizer& tokenizer, std::span<const std::string_view> inputs);

  // All added tokens but /nothink, with which users switch reasoning off.
  jinja::Value guard_all(const jinja::Value& value) { return guard(value, all_); }
  // Only tokens that open a turn: what the assistant wrote holds markup of its own.
  jinja::Value guard_turns(const jinja::Value& value) { return guard(value, turns_); }

  bool used() const { return used_; }  // whether any text was changed
  // What to take out of the prompt's ordinary text: the character, and as templates escape it.
  const std::array<std::string, 2>& fillers() const { return fillers_; }

 private:
  struct Tokens {
    std::vector<std::string> texts;
    std::string first_bytes;  // of texts
    size_t max_bytes = 0;
    void add(std::string text);
    bool begins(std::string_view text) const;      // one of them stands at its beginning
    bool may_follow(std::string_view text) const;  // text is the beginning of one
  };
  void choose_fillers(std::span<const std::string_view> inputs);
  // Changes keys and values alike, at any depth.
  jinja::Value guard(const jinja::Value& value, const Tokens& tokens);
  // Text may be joined with more text, perhaps after white space was stripped, so a token's
  // beginning at its end is broken up as well.
  std::string guarded(std::string_view text, const Tokens& tokens);

  Tokens all_, turns_;
  std::array<std::string, 2> fillers_;
  bool used_ = false;
};

}  // namespace glmoe
