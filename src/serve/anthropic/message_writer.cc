#include "serve/anthropic/message_writer.h"

#include <utility>

#include "base/rng.h"
#include "serve/api/json_fields.h"

namespace glmoe::serve::anthropic {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

constexpr const char* kDelta = "content_block_delta";

OrderedJson typed(const char* type, const OrderedJson& json) {
  OrderedJson data;
  data["type"] = type;
  data.update(json);
  return data;
}

ServerEvent event(const char* type, const OrderedJson& json) {
  return {.name = type, .data = dump(typed(type, json))};
}

// Thinking blocks carry a signature that clients send back; this server does not check it.
std::string signature(const std::string& text) {
  uint64_t hash = text.size();
  for (const char c : text) hash = mix64(hash ^ static_cast<unsigned char>(c));
  return fmt::format("glmoe-{:016x}", hash);
}

bool only_space(const std::string& text) {
  return text.find_first_not_of(kSpace) == std::string::npos;
}

// Without the white space at its beginning.
std::string left_trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(kSpace);
  return begin == std::string::npos ? std::string() : text.substr(begin);
}

}  // namespace

OrderedJson whole_members(const std::string& arguments) {
  OrderedJson whole = OrderedJson::parse(arguments, nullptr, false);
  if (whole.is_object()) return whole;
  // The last comma between two members: what stands before it is whole.
  size_t last_comma = 0;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const char c = arguments[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (c == ',' && depth == 1) last_comma = i;
  }
  // A cut behind a whole member, or within the one after the comma.
  for (const std::string& candidate : {arguments + "}", arguments.substr(0, last_comma) + "}"}) {
    OrderedJson parsed = OrderedJson::parse(candidate, nullptr, false);
    if (parsed.is_object()) return parsed;
  }
  return OrderedJson::object();
}

MessageWriter::MessageWriter(MessageAnswerOptions options, AnswerCollector answers)
    : options_(std::move(options)), answers_(std::move(answers)) {}

OrderedJson MessageWriter::usage() const {
  // Here the prompt's tokens are counted where they came from: computed, or found in the cache.
  OrderedJson json;
  json["input_tokens"] = answers_.num_prompt_tokens() - answers_.num_cached_tokens();
  json["cache_creation_input_tokens"] = 0;
  json["cache_read_input_tokens"] = answers_.num_cached_tokens();
  json["output_tokens"] = answers_.num_tokens();
  return json;
}

OrderedJson MessageWriter::stop_reason() const {
  const Answer& answer = answers_.answer(0);
  switch (answer.finish_reason) {
    case FinishReason::kNone: return nullptr;
    case FinishReason::kLength: return "max_tokens";
    case FinishReason::kStop: break;
    default: return finish_reason_name(answer.finish_reason);  // "timeout", "cancelled"
  }
  if (answer.num_tool_calls > 0) return "tool_use";
  const StopCause cause = stop_cause(answer, options_.sampling);
  return cause.kind == StopCause::Kind::kString ? "stop_sequence" : "end_turn";
}

OrderedJson MessageWriter::stop_sequence() const {
  const StopCause cause = stop_cause(answers_.answer(0), options_.sampling);
  return cause.kind == StopCause::Kind::kString ? OrderedJson(cause.text) : OrderedJson();
}

OrderedJson MessageWriter::message_json() const {
  OrderedJson json;
  json["id"] = options_.id;
  json["type"] = "message";
  json["role"] = "assistant";
  json["model"] = options_.model;
  json["content"] = OrderedJson::array();
  json["stop_reason"] = nullptr;
  json["stop_sequence"] = nullptr;
  json["usage"] = usage();
  return json;
}

ServerEvents MessageWriter::start() {
  OrderedJson json;
  json["message"] = message_json();
  return {event("message_start", std::move(json))};
}

void MessageWriter::open_block(Kind kind, OrderedJson block, ServerEvents& events) {
  close_block(events);
  OrderedJson json;
  json["index"] = num_blocks_++;
  json["content_block"] = std::move(block);
  events.push_back(event("content_block_start", std::move(json)));
  block_open_ = true;
  block_kind_ = kind;
}

// Of the open block.
OrderedJson MessageWriter::delta_json(OrderedJson delta) const {
  OrderedJson json;
  json["index"] = num_blocks_ - 1;
  json["delta"] = std::move(delta);
  return json;
}

void MessageWriter::add_delta(OrderedJson delta, ServerEvents& events) {
  events.push_back(event(kDelta, delta_json(std::move(delta))));
}

void MessageWriter::close_block(ServerEvents& events) {
  if (!block_open_) return;
  if (block_kind_ == Kind::kReasoning) {
    add_delta({{"type", "signature_delta"}, {"signature", signature(signed_text_)}}, events);
    signed_text_.clear();
  }
  OrderedJson json;
  json["index"] = num_blocks_ - 1;
  events.push_back(event("content_block_stop", std::move(json)));
  block_open_ = false;
}

void MessageWriter::add_text(Kind kind, const std::string& text, ServerEvents& events) {
  if (text.empty()) return;
  const bool thinking = kind == Kind::kReasoning;
  std::string piece = text;
  if (!block_open_ || block_kind_ != kind) {
    if (only_space(piece)) return;
    piece = left_trimmed(piece);
    OrderedJson block;
    block["type"] = thinking ? "thinking" : "text";
    block[thinking ? "thinking" : "text"] = "";
    if (thinking) block["signature"] = "";
    open_block(kind, std::move(block), events);
    const char* key = thinking ? "thinking" : "text";
    OrderedJson delta;
    delta["type"] = thinking ? "thinking_delta" : "text_delta";
    delta[key] = "";
    text_delta_ = EventTemplate(typed(kDelta, delta_json(std::move(delta))), key);
  }
  if (thinking) signed_text_ += piece;
  ServerEvent& made = events.emplace_back();
  made.name = kDelta;
  made.data = text_delta_.with(piece);
}

void MessageWriter::add_call(const ToolCallDelta& call, ServerEvents& events) {
  if (!call.name.empty()) {
    OrderedJson block;
    block["type"] = "tool_use";
    block["id"] = random_id("toolu_");
    block["name"] = call.name;
    block["input"] = OrderedJson::object();
    open_block(Kind::kToolCall, std::move(block), events);
  }
  if (call.arguments.empty() || !block_open_ || block_kind_ != Kind::kToolCall) return;
  add_delta({{"type", "input_json_delta"}, {"partial_json", call.arguments}}, events);
}

ServerEvents MessageWriter::feed(size_t which, const OutputDelta& delta,
                                 const RequestFacts& facts) {
  const AnswerEvent taken = answers_.take(which, delta, facts);
  if (!options_.stream) return {};
  ServerEvents events;
  add_text(Kind::kReasoning, taken.delta.reasoning, events);
  add_text(Kind::kText, taken.delta.content, events);
  for (const ToolCallDelta& call : taken.delta.tool_calls) add_call(call, events);
  return events;
}

ServerEvents MessageWriter::finish() {
  ServerEvents events;
  close_block(events);
  OrderedJson json;
  json["delta"]["stop_reason"] = stop_reason();
  json["delta"]["stop_sequence"] = stop_sequence();
  json["usage"] = usage();
  events.push_back(event("message_delta", std::move(json)));
  events.push_back(event("message_stop", OrderedJson::object()));
  return events;
}

ServerEvents MessageWriter::failure(const HttpError& error) {
  return {{.name = "error", .data = error_body(error, ErrorStyle::kAnthropic)}};
}

ServerEvents MessageWriter::keep_alive() { return {event("ping", OrderedJson::object())}; }

std::string MessageWriter::body() {
  answers_.check_not_empty_handed();
  OrderedJson json = message_json();
  for (const AnswerPart& part : answers_.answer(0).parts) {
    OrderedJson block;
    if (part.kind == Kind::kToolCall) {
      block["type"] = "tool_use";
      block["id"] = random_id("toolu_");
      block["name"] = part.name;
      block["input"] = whole_members(part.text);
    } else {
      const bool thinking = part.kind == Kind::kReasoning;
      const std::string text = left_trimmed(part.text);
      if (text.empty()) continue;
      block["type"] = thinking ? "thinking" : "text";
      block[thinking ? "thinking" : "text"] = text;
      if (thinking) block["signature"] = signature(text);
    }
    json["content"].push_back(std::move(block));
  }
  json["stop_reason"] = stop_reason();
  json["stop_sequence"] = stop_sequence();
  return dump(json);
}

CallTotals MessageWriter::totals() const {
  const OrderedJson reason = stop_reason();
  return {.prompt_tokens = answers_.num_prompt_tokens(),
          .cached_tokens = answers_.num_cached_tokens(),
          .completion_tokens = answers_.num_tokens(),
          .finish_reason = reason.is_null() ? "" : reason.get<std::string>()};
}

}  // namespace glmoe::serve::anthropic
