// What a caller gets back: whole outputs, or deltas as they come.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace glmoe {

enum class FinishReason { kNone, kStop, kLength, kCancelled, kError, kTimeout };
std::string_view finish_reason_name(FinishReason reason);  // "", "stop", "length", ...

struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0.0f;  // natural logarithm, after penalties and before temperature
  int64_t rank = 0;      // 1 is the most likely
};

// One position: the token itself first, then the most likely alternatives.
using PositionLogprobs = std::vector<TokenLogprob>;

struct CompletionOutput {
  int64_t index = 0;  // 0..n-1
  std::string text;
  std::vector<int32_t> token_ids;  // with the stop token, if one ended the answer
  FinishReason finish_reason = FinishReason::kNone;
  std::string stop_reason;          // the stop string, or the stop token's id in decimal
  std::string error;                // with kError: what went wrong
  double cumulative_logprob = 0.0;  // only where logprobs were asked for
  std::vector<PositionLogprobs> logprobs;
};

struct RequestMetrics {
  double queue_ms = 0.0;        // submitted until first scheduled
  double first_token_ms = 0.0;  // submitted until the first token
  double total_ms = 0.0;
  int64_t num_cached_tokens = 0;  // of the prompt, found in the prefix cache
};

struct RequestOutput {
  uint64_t request_id = 0;
  std::string prompt;
  std::vector<int32_t> prompt_token_ids;
  std::vector<CompletionOutput> outputs;
  std::vector<PositionLogprobs> prompt_logprobs;  // entry 0 is empty: nothing precedes it
  RequestMetrics metrics;
};

// New text and tokens of one answer since the last delta. `text` is always whole UTF-8.
struct OutputDelta {
  uint64_t request_id = 0;
  int64_t index = 0;
  std::string text;
  std::vector<int32_t> token_ids;
  bool skip_special_tokens = true;  // as the request asked: whether `text` is without them
  std::vector<PositionLogprobs> logprobs;
  FinishReason finish_reason = FinishReason::kNone;  // set on the answer's last delta
  std::string stop_reason;
  std::string error;
  bool request_finished = false;  // set on the request's last delta
};

// Adds a delta to the answers that it continues.
void append_delta(RequestOutput& output, OutputDelta delta);

}  // namespace glmoe
