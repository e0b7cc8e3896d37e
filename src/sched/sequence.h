// One answer being generated, as the scheduler knows it: its tokens and how far they are computed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "step/step.h"

namespace glmoe {

// What the scheduler is asked to generate.
struct SequenceRequest {
  SequenceId id = 0;
  std::vector<int32_t> prompt_ids;
  ResolvedSampling sampling;
  int64_t max_tokens = 1;              // generated tokens at most
  std::vector<int32_t> end_token_ids;  // the model's (unless ignored) and the request's stop ids
};

// What is new about one sequence after a step.
struct Emission {
  SequenceId id = 0;
  std::vector<int32_t> token_ids;  // with the end token, if one ended the answer
  std::vector<PositionLogprobs> logprobs;
  std::vector<PositionLogprobs> prompt_logprobs;  // all of them, once; entry 0 is empty
  bool first_scheduled = false;                   // set on the sequence's first emission
  double first_scheduled_ms = 0.0;  // the clock when it was first planned; with first_scheduled
  FinishReason finish_reason = FinishReason::kNone;  // set on its last
  std::string stop_reason;                           // the end token's id in decimal
  std::string error;                                 // with kError
};

class Sequence {
 public:
  // `max_length`: prompt and output together never exceed it.
  Sequence(SequenceRequest request, int64_t max_length);

  SequenceId id() const { return id_; }
  int64_t num_tokens() const { return static_cast<int64_t>(token_ids_.size()); }
  int64_t num_prompt_tokens() const { return num_prompt_; }
  int64_t num_generated() const { return num_tokens() - num_prompt_; }
  int64_t num_computed() const { return num_computed_; }
  int64_t num_uncomputed() const { return num_tokens() - num_computed_; }

  // The next `count` uncomputed tokens as a step; the block table is left to the caller.
  SequenceStep next_step(int64_t count) const;
  SequenceStart start() const;

  // Throws kInternal where the result of a step of `count` tokens does not answer that step. One
  // with an error always does.
  void check_result(int64_t count, const SequenceResult& result) const;
  // Takes such a result (without error), moves what is new into `emission` and finishes it where
  // the answer ends.
  void advance(int64_t count, SequenceResult& result, Emission& emission);
  // Forgets the computed state: all tokens, the generated ones included, are to be computed again.
  void restart() { num_computed_ = 0; }

  bool in_flight = false;  // part of the plan whose result is awaited
  bool cancelled = false;  // while in flight; goes when the result comes
  bool emitted = false;    // has had its first emission
  double first_scheduled_ms = -1.0;

 private:
  bool wants_prompt_logprobs(int64_t end_position) const;
  void collect_prompt_logprobs(int64_t count, SequenceResult& result, Emission& emission);
  void finish(Emission& emission) const;

  SequenceId id_;
  ResolvedSampling sampling_;
  std::vector<int32_t> token_ids_;  // prompt, then output
  int64_t num_prompt_;
  int64_t num_computed_ = 0;  // tokens whose KV is in the cache
  int64_t max_tokens_;
  int64_t max_length_;
  std::vector<int32_t> end_token_ids_;
  // Entry i belongs to prompt token i; entry 0 stays empty. Survives pre-emption.
  std::vector<PositionLogprobs> prompt_logprobs_;
  bool prompt_logprobs_open_;  // still to be handed out
};

}  // namespace glmoe
