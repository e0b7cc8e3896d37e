// One request on its way: its answers' text state and the queue of deltas that the caller reads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
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
  bool has_stop_strings() const { return !sampling_.stop.empty(); }

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
               int64_t num_answers, double submission_ms)
      : id(request_id),
        prompt_text(std::move(prompt)),
        prompt_token_ids(std::move(prompt_ids)),
        submitted_ms(submission_ms),
        unfinished_(num_answers) {}

  const uint64_t id;
  const std::string prompt_text;
  const std::vector<int32_t> prompt_token_ids;
  const double submitted_ms;  // on the engine's clock, as all times here
  bool started = false;       // the engine's note: something of it has been scheduled

  // Marks the request's last delta itself.
  void push(OutputDelta delta, double now_ms);
  // The same without a call of notify()'s function. True: tell() is due, soon.
  bool push_untold(OutputDelta delta, double now_ms);
  void tell();
  // Blocks; false once the last delta has been taken.
  bool next(OutputDelta& delta);
  // Does not block: false where no delta waits.
  bool try_next(OutputDelta& delta);
  // Both wait `timeout_ms` at most: until next() would not block; until the last delta has come.
  bool wait(double timeout_ms);
  bool wait_finished(double timeout_ms);
  bool done() const;  // the last delta has been taken
  bool finished() const;
  // Called whenever a delta comes while none waits (now and then once more), and at once if one
  // does. An empty function ends it: on return no call runs and none will come.
  void notify(std::function<void()> ready);

  void set_prompt_logprobs(std::vector<PositionLogprobs> logprobs);
  std::vector<PositionLogprobs> prompt_logprobs() const;
  RequestMetrics metrics() const;
  // By its first answer that is.
  void mark_scheduled(double now_ms, int64_t num_cached_tokens);

 private:
  bool take(OutputDelta& delta);  // under mutex_

  std::mutex notify_mutex_;  // held while notify_ runs; never taken under mutex_
  std::function<void()> notify_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<OutputDelta> deltas_;
  size_t next_delta_ = 0;  // those before it have been taken
  int64_t unfinished_;
  bool drained_ = false;
  std::vector<PositionLogprobs> prompt_logprobs_;
  RequestMetrics metrics_;
  bool scheduled_ = false, has_token_ = false;
};

}  // namespace glmoe
