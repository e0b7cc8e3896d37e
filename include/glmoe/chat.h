// What a chat model answers, taken apart: reasoning, content, tool calls.
//
// A ChatParser reads one answer's deltas as they come. It is a state machine over token ids: only
// the tokenizer's own markup tokens (<think>, <tool_call>, ...) are markup, the same characters
// written out in ordinary tokens are text. However the tokens are split over deltas, what it gives
// adds up to the same answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "glmoe/output.h"

namespace glmoe {

struct ChatParserOptions {
  std::string tools_json;       // empty, or the JSON array of tools: types the arguments
  bool parse_tools = true;      // false: <tool_call> and what follows stay content
  bool parse_reasoning = true;  // false: reasoning and its tags stay content
};

// A call's next piece. `name` is set on its first piece, whole; `arguments` are to be joined.
struct ToolCallDelta {
  int64_t index = 0;  // 0, 1, ... in the order of the calls
  std::string name;
  std::string arguments;  // JSON text of an object, never split inside an escape or a character
};

struct ChatDelta {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallDelta> tool_calls;
  bool empty() const { return reasoning.empty() && content.empty() && tool_calls.empty(); }
};

// Made by LLM::chat_parser. Move-only; one answer, one thread.
class ChatParser {
 public:
  ChatParser(ChatParser&&) noexcept;
  ChatParser& operator=(ChatParser&&) noexcept;
  ~ChatParser();

  // The answer's next delta; the one with its finish_reason also gives all that was held back.
  ChatDelta feed(const OutputDelta& delta);
  int64_t num_reasoning_tokens() const;  // between <think> and its end, so far
  int64_t num_tool_calls() const;        // begun so far

 private:
  friend class LLM;
  struct Impl;
  explicit ChatParser(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace glmoe
