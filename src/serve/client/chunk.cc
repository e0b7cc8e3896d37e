#include "serve/client/chunk.h"

#include <fmt/format.h>

#include <algorithm>

#include "serve/client/failure.h"

namespace glmoe::serve {
namespace {

// nullptr where `object` is none or has no such member, or a null one.
const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

void append_string(const Json& object, const char* key, std::string& to) {
  const Json* value = member(object, key);
  if (value != nullptr && value->is_string()) to += value->get_ref<const std::string&>();
}

int64_t count_of(const Json& object, const char* key) {
  const Json* value = member(object, key);
  if (value == nullptr || !value->is_number_integer()) return 0;
  return std::max<int64_t>(value->get<int64_t>(), 0);
}

void read_usage(const Json& json, Chunk& chunk) {
  const Json* usage = member(json, "usage");
  if (usage == nullptr || !usage->is_object()) return;
  chunk.usage = Usage{.prompt_tokens = count_of(*usage, "prompt_tokens"),
                      .completion_tokens = count_of(*usage, "completion_tokens")};
  if (const Json* details = member(*usage, "prompt_tokens_details")) {
    chunk.usage->cached_tokens = count_of(*details, "cached_tokens");
  }
}

void read_message(const Json& message, Chunk& chunk) {
  append_string(message, "content", chunk.content);
  // Servers have one of the two names, or both with the same text.
  append_string(message, "reasoning_content", chunk.reasoning);
  if (chunk.reasoning.empty()) append_string(message, "reasoning", chunk.reasoning);
  const Json* calls = member(message, "tool_calls");
  chunk.tool_call = chunk.tool_call || (calls != nullptr && calls->is_array() && !calls->empty());
}

void read_choice(const Json& choice, Chunk& chunk) {
  append_string(choice, "text", chunk.content);
  if (const Json* delta = member(choice, "delta")) read_message(*delta, chunk);
  if (const Json* message = member(choice, "message")) read_message(*message, chunk);
  append_string(choice, "finish_reason", chunk.finish_reason);
}

}  // namespace

std::string first_line(std::string_view text, size_t max_bytes) {
  const std::string_view line = text.substr(0, text.find_first_of("\r\n"));
  size_t end = std::min(line.size(), max_bytes);
  while (end < line.size() && end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) {
    --end;
  }
  const std::string whole =
      Json(std::string(line.substr(0, end))).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(whole).get<std::string>();
}

std::string error_text(const Json& json) {
  std::string text;
  if (const Json* error = member(json, "error")) {
    if (error->is_string()) {
      text = error->get<std::string>();
    } else {
      append_string(*error, "message", text);
      if (text.empty()) text = error->dump();
    }
  }
  if (text.empty()) append_string(json, "message", text);
  if (text.empty()) append_string(json, "detail", text);
  return text;
}

Chunk parse_chunk(std::string_view event_name, std::string_view data) {
  Chunk chunk;
  const size_t begin = data.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return chunk;
  if (data.substr(begin).starts_with("[DONE]")) {
    chunk.done = true;
    return chunk;
  }
  const Json json = Json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    throw RequestFailed(FailureKind::kProtocol,
                        fmt::format("a JSON object was wanted in the stream, found '{}'",
                                    first_line(data.substr(begin), 80)));
  }
  const bool says_error = event_name == "error" || member(json, "error") != nullptr ||
                          (json.contains("object") && json["object"] == "error");
  if (says_error) {
    chunk.error = error_text(json);
    if (chunk.error.empty()) chunk.error = "an error without a message";
    return chunk;
  }
  if (const Json* choices = member(json, "choices"); choices != nullptr && choices->is_array()) {
    for (const Json& choice : *choices) read_choice(choice, chunk);
  }
  read_usage(json, chunk);
  return chunk;
}

}  // namespace glmoe::serve
