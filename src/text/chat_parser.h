// A chat model's answer taken apart while it comes: reasoning, content, tool calls. One state
// machine for the formats of GLM-4.5, 4.6 and 4.7; docs/chat.md has its rules for users.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "glmoe/chat.h"
#include "text/answer_reader.h"
#include "text/chat_markup.h"
#include "text/tool_arguments.h"
#include "text/tool_schema.h"
#include "text/trimmed_text.h"

namespace glmoe {

// What ChatParser (glmoe/chat.h) is made of. One answer, one thread; linear in its length.
class ChatAnswerParser {
 public:
  // Throws kInvalidArgument for malformed tools. `prompt` ends where the answer begins: what it has
  // already written of the assistant's turn decides the state that the answer starts in.
  ChatAnswerParser(std::shared_ptr<const Tokenizer> tokenizer, std::span<const int32_t> prompt,
                   const ChatParserOptions& options);
  ChatAnswerParser(const ChatAnswerParser&) = delete;
  ChatAnswerParser& operator=(const ChatAnswerParser&) = delete;

  ChatDelta feed(const OutputDelta& delta);
  int64_t num_reasoning_tokens() const { return num_reasoning_tokens_; }
  int64_t num_tool_calls() const { return num_tool_calls_; }

  // --- for AnswerReader::drain ---
  void text(std::string_view piece);
  void markup(Markup which, std::string_view spelling);
  void token() {
    num_reasoning_tokens_ += state_ == State::kReasoning && !was_think_;
    was_think_ = false;
  }

 private:
  enum class State {
    kContent,
    kReasoning,
    kName,      // behind <tool_call>
    kBetween,   // within a call, where <arg_key> or </tool_call> should come
    kKey,       // behind <arg_key>
    kAfterKey,  // behind </arg_key>
    kValue,     // behind <arg_value>
  };
  bool in_call() const { return state_ != State::kContent && state_ != State::kReasoning; }

  void replay(std::span<const int32_t> turn);
  void think_markup(Markup which, std::string_view spelling);
  void markup_outside_call(Markup which, std::string_view spelling);
  void markup_in_call(Markup which);
  void markup_in_value(Markup which, std::string_view spelling);
  void finish(bool by_token);

  void begin_call();
  void name_text(std::string_view piece);
  void end_name();
  void begin_value();
  void end_call();
  template <class Write>
  void write_arguments(Write&& write);

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const ChatParserOptions options_;
  const ChatMarkup markup_;
  const ToolSchemas schemas_;
  AnswerReader reader_;
  TrimmedText content_, reasoning_;
  ToolArguments arguments_;

  State state_ = State::kContent;
  bool was_think_ = false;  // the token that is being read is <think>
  bool finished_ = false;
  bool nameless_ = false;  // the open call has no name: all of it is dropped
  std::string name_, key_;
  ChatDelta delta_;  // being put together
  int64_t num_reasoning_tokens_ = 0;
  int64_t num_tool_calls_ = 0;  // those with a name; the last one may be open
};

}  // namespace glmoe
