// What was measured of one request. Times are seconds since the measurement began.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "serve/client/failure.h"

namespace glmoe::serve {

struct LoadRecord {
  int64_t index = 0;
  double due_s = 0.0;   // when it was to be sent
  double sent_s = 0.0;  // when it began to be: a connection is made after that where none is kept
  double first_token_s = -1.0;  // -1: none came
  double end_s = 0.0;           // the stream's end, or the failure
  std::vector<float> gaps_ms;   // between two chunks with text
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;
  bool tokens_from_usage = false;  // else the chunks are counted, and the prompt is not known
  int64_t num_chunks = 0;          // with text
  std::string finish_reason;
  Failure failure;

  bool ok() const { return failure.kind == FailureKind::kNone; }
  double ttft_ms() const { return (first_token_s - sent_s) * 1e3; }
  double e2e_ms() const { return (end_s - sent_s) * 1e3; }
  bool has_tpot() const { return completion_tokens > 1; }
  double tpot_ms() const {
    return (end_s - first_token_s) * 1e3 / static_cast<double>(completion_tokens - 1);
  }
};

}  // namespace glmoe::serve
