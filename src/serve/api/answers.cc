#include "serve/api/answers.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>

#include "base/json.h"

namespace glmoe::serve {
namespace {

std::string joined(const std::vector<AnswerPart>& parts, AnswerPart::Kind kind) {
  std::string text;
  for (const AnswerPart& part : parts) {
    if (part.kind == kind) text += part.text;
  }
  return text;
}

void append(std::vector<AnswerPart>& parts, AnswerPart::Kind kind, const std::string& text) {
  if (text.empty()) return;
  if (parts.empty() || parts.back().kind != kind) parts.push_back({.kind = kind});
  parts.back().text += text;
}

template <class T>
void append(std::vector<T>& to, std::span<const T> from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

std::string Answer::reasoning() const { return joined(parts, AnswerPart::Kind::kReasoning); }
std::string Answer::content() const { return joined(parts, AnswerPart::Kind::kText); }

AnswerCollector::AnswerCollector(const std::vector<Request>& requests, const ModelText& text,
                                 Options options)
    : options_(std::move(options)),
      num_answers_(static_cast<size_t>(requests.front().sampling.n)),
      prompt_logprobs_(requests.size()),
      cached_(requests.size()),
      answers_(requests.size() * num_answers_) {
  for (const Request& request : requests) {
    prompts_.push_back(request.prompt.token_ids);
    for (size_t i = 0; options_.chat && i < num_answers_; ++i) {
      splitters_.push_back(text.chat_splitter(request.prompt.token_ids, options_.parser));
    }
  }
}

AnswerEvent AnswerCollector::take(size_t which, const OutputDelta& delta,
                                  const RequestFacts& facts) {
  if (delta.finish_reason == FinishReason::kError) {
    throw ApiError(
        HttpError{.status = 500,
                  .message = "the model failed while it wrote this answer; the server's log says "
                             "more under this request's X-Request-Id",
                  .code = "generation_failed"},
        delta.error);
  }
  if (facts.num_cached_tokens > 0) cached_[which] = facts.num_cached_tokens;
  if (prompt_logprobs_[which].empty()) prompt_logprobs_[which] = facts.prompt_logprobs;

  AnswerEvent event;
  event.choice = which * num_answers_ + static_cast<size_t>(delta.index);
  event.token_ids = delta.token_ids;
  event.logprobs = delta.logprobs;
  event.finish_reason = delta.finish_reason;
  Answer& answer = answers_.at(event.choice);
  if (options_.chat) {
    ChatSplitter& splitter = *splitters_[event.choice];
    event.delta = splitter.feed(delta);
    answer.num_reasoning_tokens = splitter.num_reasoning_tokens();
    if (options_.only_first_call) {
      std::erase_if(event.delta.tool_calls,
                    [](const ToolCallDelta& call) { return call.index > 0; });
    }
  } else {
    event.delta.content = delta.text;
  }
  for (const ToolCallDelta& call : event.delta.tool_calls) {
    answer.num_tool_calls = std::max(answer.num_tool_calls, call.index + 1);
  }
  answer.num_tokens += static_cast<int64_t>(delta.token_ids.size());
  answer.finish_reason = delta.finish_reason;
  answer.stop_reason = delta.stop_reason;
  if (options_.keep) add(answer, event);
  return event;
}

void AnswerCollector::add(Answer& answer, const AnswerEvent& event) const {
  append(answer.token_ids, event.token_ids);
  append(answer.logprobs, event.logprobs);
  append(answer.parts, AnswerPart::Kind::kReasoning, event.delta.reasoning);
  append(answer.parts, AnswerPart::Kind::kText, event.delta.content);
  for (const ToolCallDelta& call : event.delta.tool_calls) {
    if (!call.name.empty()) {
      answer.parts.push_back({.kind = AnswerPart::Kind::kToolCall, .name = call.name});
    }
    // The parts of calls are in the order of their indices.
    int64_t index = -1;
    for (AnswerPart& part : answer.parts) {
      if (part.kind == AnswerPart::Kind::kToolCall && ++index == call.index) {
        part.text += call.arguments;
      }
    }
  }
}

int64_t AnswerCollector::num_prompt_tokens() const {
  int64_t sum = 0;
  for (const auto& prompt : prompts_) sum += static_cast<int64_t>(prompt.size());
  return sum;
}

int64_t AnswerCollector::num_cached_tokens() const {
  return std::accumulate(cached_.begin(), cached_.end(), int64_t{0});
}

int64_t AnswerCollector::num_tokens() const {
  int64_t sum = 0;
  for (const Answer& answer : answers_) sum += answer.num_tokens;
  return sum;
}

int64_t AnswerCollector::num_reasoning_tokens() const {
  int64_t sum = 0;
  for (const Answer& answer : answers_) sum += answer.num_reasoning_tokens;
  return sum;
}

void AnswerCollector::check_not_empty_handed() const {
  if (num_tokens() > 0) return;
  for (const Answer& answer : answers_) {
    if (answer.finish_reason == FinishReason::kTimeout) {
      throw ApiError(
          HttpError{.status = 408,
                    .message = "the request's time ran out before its first token was generated",
                    .code = "timeout"});
    }
    if (answer.finish_reason == FinishReason::kCancelled) {
      throw ApiError(
          HttpError{.status = 503,
                    .message = "the request was cancelled before its first token was generated",
                    .code = "cancelled"});
    }
  }
}

StopCause stop_cause(const Answer& answer, const SamplingParams& sampling) {
  if (answer.finish_reason != FinishReason::kStop || answer.stop_reason.empty()) return {};
  for (const std::string& stop : sampling.stop) {
    if (stop == answer.stop_reason) return {StopCause::Kind::kString, stop};
  }
  for (const int32_t id : sampling.stop_token_ids) {
    if (std::to_string(id) == answer.stop_reason) {
      return {StopCause::Kind::kToken, answer.stop_reason, id};
    }
  }
  return {};
}

std::string random_id(const std::string& prefix) {
  thread_local std::random_device device;
  std::string id = prefix;
  for (int i = 0; i < 3; ++i) id += fmt::format("{:08x}", device());
  return id;
}

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string token_text(const std::string& bytes) {
  return Json::parse(Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace))
      .get<std::string>();
}

bool is_whole_utf8(const std::string& bytes) { return token_text(bytes) == bytes; }

}  // namespace glmoe::serve
