#include "text/chat_parser.h"

#include <algorithm>
#include <utility>

namespace glmoe {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// A function's name without white space and without the "\n" that some answers spell out behind it.
std::string_view clean_name(std::string_view name) {
  while (true) {
    name.remove_suffix(name.size() - (name.find_last_not_of(kSpace) + 1));
    if (name.size() < 2 || name.substr(name.size() - 2) != "\\n") break;
    name.remove_suffix(2);
  }
  name.remove_prefix(std::min(name.find_first_not_of(kSpace), name.size()));
  return name;
}

}  // namespace

ChatAnswerParser::ChatAnswerParser(std::shared_ptr<const Tokenizer> tokenizer,
                                   std::span<const int32_t> prompt,
                                   const ChatParserOptions& options)
    : tokenizer_(std::move(tokenizer)),
      options_(options),
      markup_(*tokenizer_),
      schemas_(options.parse_tools ? std::string_view(options.tools_json) : std::string_view()),
      reader_(*tokenizer_, markup_),
      content_(options.parse_tools || options.parse_reasoning),
      reasoning_(true) {
  replay(markup_.open_turn(prompt));
}

// Of all that the prompt has written, only a call that is still open belongs to the answer: the
// caller has not seen its name.
void ChatAnswerParser::replay(std::span<const int32_t> turn) {
  AnswerReader reader(*tokenizer_, markup_);
  OutputDelta written;
  written.skip_special_tokens = false;
  written.token_ids.assign(turn.begin(), turn.end());
  written.text = tokenizer_->decode(turn);
  reader.add(written);
  reader.drain(*this);
  const bool in_named_call = state_ >= State::kBetween && !nameless_;
  ChatDelta open;
  if (in_named_call) open.tool_calls.push_back(std::move(delta_.tool_calls.back()));
  for (ToolCallDelta& call : open.tool_calls) call.index = 0;
  delta_ = std::move(open);
  num_tool_calls_ = in_named_call ? 1 : 0;
  num_reasoning_tokens_ = 0;
  content_.continue_after_prompt();
  reasoning_.continue_after_prompt();
}

ChatDelta ChatAnswerParser::feed(const OutputDelta& delta) {
  if (finished_) return {};
  const bool by_token = reader_.add(delta);
  reader_.drain(*this);
  if (delta.finish_reason != FinishReason::kNone) finish(by_token);
  return std::exchange(delta_, {});
}

void ChatAnswerParser::finish(bool by_token) {
  finished_ = true;
  // Half a tag has no meaning, but is text where the whole tag would have been.
  const AnswerReader::CutMarkup cut = reader_.cut_markup();
  const bool is_think = cut.markup == Markup::kThink || cut.markup == Markup::kThinkEnd;
  if (is_think ? !options_.parse_reasoning : !options_.parse_tools) text(cut.part);
  // A model that ends its turn between two arguments has said all of the call. Anywhere else, and
  // where a limit or a stop string cut the answer, the arguments stay as incomplete as they are.
  const bool call_is_whole = state_ == State::kName || state_ == State::kBetween;
  if (by_token && call_is_whole) end_call();
  content_.finish(delta_.content);
  reasoning_.finish(delta_.reasoning);
}

void ChatAnswerParser::text(std::string_view piece) {
  switch (state_) {
    case State::kReasoning:
      if (options_.parse_reasoning) {
        reasoning_.append(piece, delta_.reasoning);
        break;
      }
      [[fallthrough]];
    case State::kContent: content_.append(piece, delta_.content); break;
    case State::kName: name_text(piece); break;
    case State::kKey: key_ += piece; break;
    case State::kValue:
      write_arguments([&](std::string& out) { arguments_.value_text(piece, out); });
      break;
    case State::kBetween:
    case State::kAfterKey: break;  // line breaks; anything else has no meaning here
  }
}

void ChatAnswerParser::markup(Markup which, std::string_view spelling) {
  was_think_ = which == Markup::kThink;
  if (state_ == State::kValue) {
    markup_in_value(which, spelling);
  } else if (which == Markup::kThink || which == Markup::kThinkEnd) {
    think_markup(which, spelling);
  } else if (!options_.parse_tools) {
    text(spelling);
  } else if (in_call()) {
    markup_in_call(which);
  } else {
    markup_outside_call(which, spelling);
  }
}

// <think> within reasoning and </think> without are left out. </think> within a call shows that the
// model still believed itself to be reasoning; the call ends there, or never was one.
void ChatAnswerParser::think_markup(Markup which, std::string_view spelling) {
  if (in_call()) {
    if (which == Markup::kThink) return;
    if (state_ == State::kName) name_.clear();
    end_call();
  }
  state_ = which == Markup::kThink ? State::kReasoning : State::kContent;
  if (options_.parse_reasoning) {
    content_.markup();
    reasoning_.markup();
  } else {
    content_.append(spelling, delta_.content);
  }
}

void ChatAnswerParser::markup_outside_call(Markup which, std::string_view spelling) {
  switch (which) {
    case Markup::kToolCall:  // ends reasoning, too: models forget </think> before a call
      content_.markup();
      reasoning_.markup();
      begin_call();
      break;
    case Markup::kToolCallEnd:
      if (state_ == State::kReasoning) text(spelling);
      break;  // one too many
    default: text(spelling);
  }
}

// What a value's end was meant to be is only </arg_value>, or </tool_call> where that was
// forgotten.
void ChatAnswerParser::markup_in_value(Markup which, std::string_view spelling) {
  if (which != Markup::kArgValueEnd && which != Markup::kToolCallEnd) return text(spelling);
  write_arguments([&](std::string& out) { arguments_.end_value(out); });
  state_ = State::kBetween;
  if (which == Markup::kToolCallEnd) end_call();
}

void ChatAnswerParser::markup_in_call(Markup which) {
  switch (which) {
    case Markup::kToolCall:  // </tool_call> was forgotten
      end_call();
      begin_call();
      break;
    case Markup::kToolCallEnd: end_call(); break;
    case Markup::kArgKey:  // a key before it that has no value is left out
      if (state_ == State::kName) end_name();
      key_.clear();
      state_ = State::kKey;
      break;
    case Markup::kArgKeyEnd:
      if (state_ == State::kKey) state_ = State::kAfterKey;
      break;
    case Markup::kArgValue: begin_value(); break;
    default: break;  // </arg_value> without a value
  }
}

void ChatAnswerParser::begin_call() {
  state_ = State::kName;
  name_.clear();
  nameless_ = false;
}

void ChatAnswerParser::name_text(std::string_view piece) {
  while (true) {
    const size_t line_end = piece.find('\n');
    name_ += piece.substr(0, line_end);
    if (line_end == std::string_view::npos) return;
    if (!clean_name(name_).empty()) break;
    name_.clear();  // a blank line before the name
    piece.remove_prefix(line_end + 1);
  }
  end_name();
}

void ChatAnswerParser::end_name() {
  state_ = State::kBetween;
  const std::string_view name = clean_name(name_);
  nameless_ = name.empty();
  if (nameless_) return;
  arguments_.begin_call(schemas_.find(name));
  delta_.tool_calls.push_back({.index = num_tool_calls_++, .name = std::string(name)});
}

void ChatAnswerParser::begin_value() {
  const bool has_key = state_ == State::kKey || state_ == State::kAfterKey;
  if (state_ == State::kName) end_name();
  state_ = State::kValue;
  if (!has_key) return arguments_.begin_dropped_value();
  write_arguments([&](std::string& out) { arguments_.begin_value(key_, out); });
}

// Closes the open call; one without a name leaves no trace.
void ChatAnswerParser::end_call() {
  if (state_ == State::kName) end_name();
  write_arguments([&](std::string& out) { arguments_.close(out); });
  state_ = State::kContent;
}

template <class Write>
void ChatAnswerParser::write_arguments(Write&& write) {
  if (nameless_) return;
  const int64_t index = num_tool_calls_ - 1;
  std::vector<ToolCallDelta>& calls = delta_.tool_calls;
  if (!calls.empty() && calls.back().index == index) return write(calls.back().arguments);
  std::string arguments;
  write(arguments);
  if (!arguments.empty()) calls.push_back({.index = index, .arguments = std::move(arguments)});
}

}  // namespace glmoe
