// Pieces that several of OpenAI's answers share: usage, log-probabilities, finish reasons.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "serve/api/answers.h"

namespace glmoe::serve::openai {

// {"prompt_tokens", "completion_tokens", "total_tokens", and their details}.
OrderedJson usage(const AnswerCollector& answers);

// "stop", "length", "tool_calls" (the answer ended by itself and holds a call), "timeout",
// "cancelled"; null while it goes on.
OrderedJson finish_reason(const Answer& answer);
// The stop string, or the id of the client's own stop token, that ended the answer; else null.
OrderedJson stop_reason(const Answer& answer, const SamplingParams& sampling);

// A chat's form: [{token, logprob, bytes, top_logprobs: the `num_top` most likely, the token itself
// among them where it is one of these}].
OrderedJson chat_logprobs(const std::vector<PositionLogprobs>& positions, int64_t num_top,
                          const ModelText& text);

// vLLM's form: [null, {"ID": {logprob, rank, decoded_token}}, ...].
OrderedJson prompt_logprobs(const std::vector<PositionLogprobs>& positions, const ModelText& text);

// The form of completions, which grows with the answer: {text_offset, token_logprobs, tokens,
// top_logprobs}. A token that is not whole characters is written bytes:\xE2\x82.
class CompletionLogprobs {
 public:
  explicit CompletionLogprobs(const ModelText& text) : text_(&text) {}
  // The next positions, in order. An empty position (the first of a prompt) has no numbers but
  // needs its token: `token_ids[i]` is the token of positions[i].
  OrderedJson add(const std::vector<PositionLogprobs>& positions,
                  const std::vector<int32_t>& token_ids);

 private:
  const ModelText* text_;
  int64_t num_characters_ = 0;  // of all tokens so far
};

// JSON has no infinities: a token that cannot come has OpenAI's -9999.
double finite_logprob(float logprob);

}  // namespace glmoe::serve::openai
