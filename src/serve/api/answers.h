// The answers of one call in neutral form: takes the engine's deltas apart, counts tokens, and,
// for an answer that is sent whole, adds them up. The writers of both APIs are built on it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "serve/api/api_call.h"

namespace glmoe::serve {

// What one delta brought to one answer.
struct AnswerEvent {
  size_t choice = 0;                   // prompt * n + answer
  ChatDelta delta;                     // of a completion: only content
  std::span<const int32_t> token_ids;  // these two are the delta's own, not a copy
  std::span<const PositionLogprobs> logprobs;
  FinishReason finish_reason = FinishReason::kNone;
};

// A run of one kind of output, in the order in which the model wrote it.
struct AnswerPart {
  enum class Kind { kReasoning, kText, kToolCall };
  Kind kind = Kind::kText;
  std::string text;  // of a call: its arguments
  std::string name;  // of a call
};

struct Answer {
  std::vector<AnswerPart> parts;  // filled only by a collector that keeps
  std::vector<int32_t> token_ids;
  std::vector<PositionLogprobs> logprobs;
  FinishReason finish_reason = FinishReason::kNone;
  std::string stop_reason;
  int64_t num_tokens = 0;
  int64_t num_reasoning_tokens = 0;
  int64_t num_tool_calls = 0;

  std::string reasoning() const;
  std::string content() const;
};

class AnswerCollector {
 public:
  struct Options {
    bool keep = false;             // add the deltas up; else only count
    bool only_first_call = false;  // parallel_tool_calls false: later ones are dropped
    ChatParserOptions parser;      // with `chat`
    bool chat = false;             // take the answers apart
  };
  // One entry a request of the call; each has `requests[i].sampling.n` answers. `text` outlives it.
  AnswerCollector(const std::vector<Request>& requests, const ModelText& text, Options options);

  // Throws ApiError for an answer that failed.
  AnswerEvent take(size_t which, const OutputDelta& delta, const RequestFacts& facts);

  size_t num_choices() const { return answers_.size(); }
  size_t request_of(size_t choice) const { return choice / num_answers_; }
  const Answer& answer(size_t choice) const { return answers_[choice]; }
  const std::vector<int32_t>& prompt_token_ids(size_t which) const { return prompts_[which]; }
  const std::vector<PositionLogprobs>& prompt_logprobs(size_t which) const {
    return prompt_logprobs_[which];
  }

  int64_t num_prompt_tokens() const;  // of all requests together
  int64_t num_cached_tokens() const;
  int64_t num_tokens() const;
  int64_t num_reasoning_tokens() const;

  // Where time ran out or the call was cancelled before any token was there: the error to answer
  // with instead of an empty answer.
  void check_not_empty_handed() const;

 private:
  void add(Answer& answer, const AnswerEvent& event) const;

  Options options_;
  size_t num_answers_ = 1;
  std::vector<std::vector<int32_t>> prompts_;
  std::vector<std::vector<PositionLogprobs>> prompt_logprobs_;
  std::vector<int64_t> cached_;
  std::vector<std::unique_ptr<ChatSplitter>> splitters_;  // one a choice, with `chat`
  std::vector<Answer> answers_;
};

// What the client asked to stop at and what did stop the answer: a stop string, or one of its stop
// token ids; kNone for the model's own end.
struct StopCause {
  enum class Kind { kNone, kString, kToken } kind = Kind::kNone;
  std::string text;
  int64_t token_id = 0;
};
StopCause stop_cause(const Answer& answer, const SamplingParams& sampling);

// "chatcmpl-", "call_" and the like followed by 24 random hexadecimal digits.
std::string random_id(const std::string& prefix);
int64_t unix_seconds();

// The text of a token as JSON can hold it: what is not UTF-8 becomes U+FFFD.
std::string token_text(const std::string& bytes);
bool is_whole_utf8(const std::string& bytes);

}  // namespace glmoe::serve
