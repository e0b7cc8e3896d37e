// One event of an OpenAI-compatible stream, whoever serves it: what of it counts. Servers differ in
// which fields they leave out, send empty or name otherwise; nothing beyond the data is required.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace glmoe::serve {

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;
};

struct Chunk {
  bool done = false;  // "[DONE]"
  std::string content;
  std::string reasoning;
  bool tool_call = false;
  std::string finish_reason;
  std::optional<Usage> usage;
  std::string error;  // not empty: the stream has failed

  bool has_tokens() const { return !content.empty() || !reasoning.empty() || tool_call; }
};

// Chats and completions, and the whole answers of both. An empty one is what an event without
// anything to count gives. Throws RequestFailed(kProtocol) where `data` is no JSON object.
Chunk parse_chunk(std::string_view event_name, std::string_view data);

// The message of an error body or event of OpenAI, Anthropic, FastAPI or llama.cpp; "" without one.
std::string error_text(const Json& json);
// Up to the first line end or `max_bytes`, cut between characters; invalid UTF-8 becomes U+FFFD.
std::string first_line(std::string_view text, size_t max_bytes);

}  // namespace glmoe::serve
