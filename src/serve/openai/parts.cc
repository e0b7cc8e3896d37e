#include "serve/openai/parts.h"

#include <algorithm>
#include <cmath>

namespace glmoe::serve::openai {
namespace {

OrderedJson bytes_of(const std::string& token) {
  OrderedJson bytes = OrderedJson::array();
  for (const char c : token) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

OrderedJson chat_entry(const TokenLogprob& entry, const ModelText& text) {
  const std::string bytes = text.token_bytes(entry.token_id);
  OrderedJson json;
  json["token"] = token_text(bytes);
  json["logprob"] = finite_logprob(entry.logprob);
  json["bytes"] = bytes_of(bytes);
  return json;
}

// Unique among tokens, unlike text with U+FFFD in it.
std::string token_name(const std::string& bytes) {
  if (is_whole_utf8(bytes)) return bytes;
  std::string name = "bytes:";
  for (const char c : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

int64_t count_characters(const std::string& bytes) {
  return std::count_if(bytes.begin(), bytes.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace

double finite_logprob(float logprob) {
  return std::isfinite(logprob) ? std::max(static_cast<double>(logprob), -9999.0) : -9999.0;
}

OrderedJson usage(const AnswerCollector& answers) {
  OrderedJson json;
  json["prompt_tokens"] = answers.num_prompt_tokens();
  json["completion_tokens"] = answers.num_tokens();
  json["total_tokens"] = answers.num_prompt_tokens() + answers.num_tokens();
  json["prompt_tokens_details"] = {{"cached_tokens", answers.num_cached_tokens()}};
  json["completion_tokens_details"] = {{"reasoning_tokens", answers.num_reasoning_tokens()}};
  return json;
}

OrderedJson finish_reason(const Answer& answer) {
  if (answer.finish_reason == FinishReason::kNone) return nullptr;
  if (answer.finish_reason == FinishReason::kStop && answer.num_tool_calls > 0) {
    return "tool_calls";
  }
  return finish_reason_name(answer.finish_reason);
}

OrderedJson stop_reason(const Answer& answer, const SamplingParams& sampling) {
  const StopCause cause = stop_cause(answer, sampling);
  switch (cause.kind) {
    case StopCause::Kind::kString: return cause.text;
    case StopCause::Kind::kToken: return cause.token_id;
    case StopCause::Kind::kNone: break;
  }
  return nullptr;
}

OrderedJson chat_logprobs(const std::vector<PositionLogprobs>& positions, int64_t num_top,
                          const ModelText& text) {
  OrderedJson content = OrderedJson::array();
  for (const PositionLogprobs& position : positions) {
    if (position.empty()) continue;
    OrderedJson entry = chat_entry(position.front(), text);
    PositionLogprobs top = position;
    std::stable_sort(top.begin(), top.end(),
                     [](const TokenLogprob& a, const TokenLogprob& b) { return a.rank < b.rank; });
    top.resize(std::min(top.size(), static_cast<size_t>(num_top)));
    entry["top_logprobs"] = OrderedJson::array();
    for (const TokenLogprob& other : top) {
      entry["top_logprobs"].push_back(chat_entry(other, text));
    }
    content.push_back(std::move(entry));
  }
  return content;
}

OrderedJson prompt_logprobs(const std::vector<PositionLogprobs>& positions, const ModelText& text) {
  OrderedJson list = OrderedJson::array();
  for (const PositionLogprobs& position : positions) {
    OrderedJson entries;  // null for the first: nothing precedes it
    for (const TokenLogprob& entry : position) {
      OrderedJson& json = entries[std::to_string(entry.token_id)];
      json["logprob"] = finite_logprob(entry.logprob);
      json["rank"] = entry.rank;
      json["decoded_token"] = token_text(text.token_bytes(entry.token_id));
    }
    list.push_back(std::move(entries));
  }
  return list;
}

OrderedJson CompletionLogprobs::add(const std::vector<PositionLogprobs>& positions,
                                    const std::vector<int32_t>& token_ids) {
  OrderedJson offsets = OrderedJson::array(), logprobs = OrderedJson::array();
  OrderedJson tokens = OrderedJson::array(), tops = OrderedJson::array();
  for (size_t i = 0; i < std::min(positions.size(), token_ids.size()); ++i) {
    const std::string bytes = text_->token_bytes(token_ids[i]);
    offsets.push_back(num_characters_);
    num_characters_ += count_characters(bytes);
    tokens.push_back(token_name(bytes));
    const PositionLogprobs& position = positions[i];
    if (position.empty()) {
      logprobs.push_back(nullptr);
      tops.push_back(nullptr);
      continue;
    }
    logprobs.push_back(finite_logprob(position.front().logprob));
    OrderedJson top = OrderedJson::object();
    for (const TokenLogprob& entry : position) {
      top[token_name(text_->token_bytes(entry.token_id))] = finite_logprob(entry.logprob);
    }
    tops.push_back(std::move(top));
  }
  OrderedJson json;
  json["text_offset"] = std::move(offsets);
  json["token_logprobs"] = std::move(logprobs);
  json["tokens"] = std::move(tokens);
  json["top_logprobs"] = std::move(tops);
  return json;
}

}  // namespace glmoe::serve::openai
