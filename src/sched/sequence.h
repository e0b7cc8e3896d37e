// One answer being generated, as the scheduler knows it: its tokens, how far they are computed, and
// how far steps that have not come back yet will bring it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "cache/block_table.h"
#include "step/step.h"

namespace glmoe {

// What the scheduler is asked to generate.
struct SequenceRequest {
  SequenceId id = 0;
  std::vector<int32_t> prompt_ids;
  ResolvedSampling sampling;
  int64_t max_tokens = 1;              // generated tokens at most
  std::vector<int32_t> end_token_ids;  // the model's (unless ignored) and the request's stop ids
  int32_t priority = 0;                // lower ones run first
  double deadline_ms = 0.0;            // on the scheduler's clock; then it times out. 0: none
  std::string cache_salt;              // prefixes are shared with those of the same salt
};

// What is new about one sequence after a step.
struct Emission {
  SequenceId id = 0;
  std::vector<int32_t> token_ids;  // with the end token, if one ended the answer
  std::vector<PositionLogprobs> logprobs;
  std::vector<PositionLogprobs> prompt_logprobs;  // all of them, once; entry 0 is empty
  bool first_scheduled = false;                   // set on the sequence's first emission
  double first_scheduled_ms = 0.0;  // the clock when it was first planned; with first_scheduled
  int64_t num_cached_tokens = 0;    // of the prompt, found in the cache; with first_scheduled
  FinishReason finish_reason = FinishReason::kNone;  // set on its last
  std::string stop_reason;                           // the end token's id in decimal
  std::string error;                                 // with kError

  // As new, but keeps the memory of its vectors.
  void reset(SequenceId sequence);
};

// A sequence's share of a step that was planned and whose result is awaited.
struct PlannedStep {
  int64_t start_position = 0;
  int64_t num_tokens = 0;
  bool sample = false;
  bool prompt_logprobs = false;
};

// What every step reads and writes lies together in the first cache lines.
class alignas(64) Sequence {
 public:
  // `max_length`: prompt and output together never exceed it. `arrival`: its place in the order.
  Sequence(SequenceRequest request, int64_t max_length, uint64_t arrival);

  SequenceId id() const { return id_; }
  int32_t priority() const { return priority_; }
  uint64_t arrival() const { return arrival_; }
  double deadline_ms() const { return deadline_ms_; }
  const std::vector<int32_t>& token_ids() const { return token_ids_; }
  int64_t num_tokens() const { return static_cast<int64_t>(token_ids_.size()); }
  int64_t num_prompt_tokens() const { return num_prompt_; }
  int64_t num_generated() const { return num_tokens() - num_prompt_; }
  // Positions whose KV is in the cache, by results that have come.
  int64_t num_computed() const { return num_computed_; }
  // The same once all steps that are planned have run: the next step begins there.
  int64_t num_planned() const { return num_planned_; }
  // Tokens that can be planned: those that are known, and one that a step under way will sample.
  int64_t num_unplanned() const { return num_tokens() + num_pending_ - num_planned_; }
  // Whether the next token surely has to be computed: an answer that ends by its length after the
  // steps under way has none. (One that ends by an end token is found out too late.)
  bool goes_on() const {
    return num_unplanned() > 0 &&
           (num_pending_ == 0 || (num_generated() + num_pending_ < max_tokens_ &&
                                  num_tokens() + num_pending_ < max_length_));
  }
  // Of a sequence that is needed soon: brings what a step reads into the processor's cache.
  void prefetch() const {
    constexpr size_t kHotBytes = 192;
    for (size_t at = 0; at < kHotBytes; at += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(this) + at, 1);
    }
  }
  // The same for the place where the next token goes.
  void prefetch_end() const { __builtin_prefetch(token_ids_.data() + token_ids_.size(), 1); }
  bool may_reuse_prefix() const { return sampling_.num_prompt_logprobs < 0; }

  // Plans the next `count` tokens: fills `step` but for its block table, and
  // `planned`, in its place: a copy of it would wait for the stores.
  void plan_step(int64_t count, SequenceStep& step, PlannedStep& planned);
  SequenceStart start() const;
  // The first `count` tokens are in the cache already; nothing has been planned.
  void skip_cached(int64_t count) { num_planned_ = num_computed_ = count; }

  // Throws kInternal where the result does not answer that step. One with an error always does.
  void check_result(const PlannedStep& planned, const SequenceResult& result) const;
  // Takes such a result (without error), moves what is new into `emission` and finishes it where
  // the answer ends.
  void advance(const PlannedStep& planned, SequenceResult& result, Emission& emission);
  // Forgets the computed state: all tokens, the generated ones included, are to be computed again.
  // No step is under way.
  void restart();

 private:
  void collect_prompt_logprobs(const PlannedStep& planned, SequenceResult& result,
                               Emission& emission);
  void finish(Emission& emission) const;
  bool is_end_token(int32_t token) const;

  SequenceId id_;
  std::vector<int32_t> token_ids_;  // prompt, then output
  int64_t num_prompt_;
  int64_t num_computed_ = 0;
  int64_t num_planned_ = 0;
  int64_t num_pending_ = 0;  // tokens that steps under way will sample
  int64_t max_tokens_;
  int64_t max_length_;

 public:
  // The scheduler's own notes.
  int32_t num_in_flight = 0;  // steps under way
  int32_t slot = -1;          // place among the decoding ones
  bool ended = false;         // goes when the last step under way has come back
  bool failed = false;        // ended by an error
  bool emitted = false;       // has had its first emission

 private:
  bool has_logprobs_;
  bool prompt_logprobs_open_;                  // still to be handed out
  int32_t last_token_;                         // token_ids_.back()
  std::array<int32_t, 4> first_end_ids_ = {};  // of end_token_ids_: most have no more
  int32_t num_end_ids_;

 public:
  BlockTable table;
  double first_scheduled_ms = -1.0;
  int64_t num_cached_tokens = 0;

 private:
  std::vector<int32_t> end_token_ids_;
  ResolvedSampling sampling_;
  int32_t priority_;
  uint64_t arrival_;
  double deadline_ms_;
  // Entry i belongs to prompt token i; entry 0 stays empty. Survives pre-emption.
  std::vector<PositionLogprobs> prompt_logprobs_;
  int64_t next_prompt_logprob_ = 1;  // the first that no step was asked for
};

}  // namespace glmoe
