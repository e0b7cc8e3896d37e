// One request on its way: its answers' text state and the queue of deltas that the caller reads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "glmoe/output.h"
#include "glmoe/request.h"
#include "sched/scheduler.h"
#include "text/incremental_decoder.h"
#include "text/stop_matcher.h"

namespace glmoe {

// Turns one answer's tokens into deltas. Used by the engine's thread alone.
class AnswerState {
 public:
  AnswerState(const Tokenizer* tokenizer, const SamplingParams& sampling, int64_t index);

  // The delta for what one step gave, or an empty one where all text is still held back. The
  // answer is finished when the delta's finish_reason says so: by the emission's own reason or
  // because a stop string was completed.
  OutputDelta consume(const Emission& emission);

 private:
  void append_text(std::string piece, OutputDelta& delta);

  SamplingParams sampling_;
  IncrementalDecoder decoder_;
  StopMatcher matcher_;
  int64_t index_;
  int64_t num_generated_ = 0;
};

// Shared by the engine's thread (push) and the caller's ResponseStream (next).
class RequestState {
 public:
  RequestState(uint64_t request_id, std::string prompt, std::vector<int32_t> prompt_ids,
               int64_t num_answers)
      : id(request_id),
        prompt_text(std::move(prompt)),
        prompt_token_ids(std::move(prompt_ids)),
        unfinished_(num_answers) {}

  const uint64_t id;
  const std::string prompt_text;
  const std::vector<int32_t> prompt_token_ids;

  // Marks the request's last delta itself.
  void push(OutputDelta delta);
  // Blocks; false once the last delta has been taken.
  bool next(OutputDelta& delta);
  bool finished() const;

  void set_prompt_logprobs(std::vector<PositionLogprobs> logprobs);
  std::vector<PositionLogprobs> prompt_logprobs() const;
  RequestMetrics metrics() const;
  void mark_scheduled(double elapsed_ms);
  void mark_token(double elapsed_ms);

 private:
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<OutputDelta> deltas_;
  int64_t unfinished_;
  bool drained_ = false;
  std::vector<PositionLogprobs> prompt_logprobs_;
  RequestMetrics metrics_;
};

}  // namespace glmoe
