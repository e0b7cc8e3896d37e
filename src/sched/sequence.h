// One answer being generated, as the scheduler knows it: its tokens, how far they are computed, and
// how far steps that have not come back yet will bring it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
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

// What is new about one sequence after a step. Most say one token and nothing else: that is in the
// first cache line.
struct alignas(64) Emission {
  SequenceId id = 0;
  IdList token_ids;                                  // with the end token, if one ended the answer
  FinishReason finish_reason = FinishReason::kNone;  // set on its last
  bool first_scheduled = false;                      // set on the sequence's first emission
  bool has_details = false;         // whether anything but id and token_ids may be set
  double first_scheduled_ms = 0.0;  // the clock when it was first planned; with first_scheduled
  int64_t num_cached_tokens = 0;    // of the prompt, found in the cache; with first_scheduled
  std::vector<PositionLogprobs> logprobs;
  std::vector<PositionLogprobs> prompt_logprobs;  // all of them, once; entry 0 is empty
  std::string stop_reason;                        // the end token's id in decimal
  std::string error;                              // with kError

  // As new, but keeps the memory of its lists.
  void reset(SequenceId sequence) {
    id = sequence;
    token_ids.clear();
    if (has_details) clear_details();
  }

 private:
  void clear_details();
};

// A sequence's share of a step that was planned and whose result is awaited.
struct PlannedStep {
  int32_t start_position = 0;
  int32_t num_tokens = 0;
  bool sample = false;
  bool prompt_logprobs = false;
  int32_t end() const { return start_position + num_tokens; }
};

// Positions and lengths are counted in 32 bits: the scheduler takes no longer sequences.
//
// A step of plain decoding reads and writes the first two cache lines and no other: the state, down
// to the beginning of `table`, and the newest tokens, which join the others a few at a time.
class alignas(64) Sequence {
 public:
  // `max_length`: prompt and output together never exceed it. `arrival`: its place in the order.
  Sequence(SequenceRequest request, int32_t max_length, uint64_t arrival);

  SequenceId id() const { return id_; }
  int32_t priority() const { return priority_; }
  uint64_t arrival() const { return arrival_; }
  double deadline_ms() const { return deadline_ms_; }
  // Prompt and output; valid until the next token comes.
  std::span<const int32_t> token_ids() {
    gather_tokens();
    return token_ids_;
  }
  int32_t num_tokens() const { return num_tokens_; }
  int32_t num_prompt_tokens() const { return num_prompt_; }
  int32_t num_generated() const { return num_tokens() - num_prompt_; }
  // Positions whose KV is in the cache, by results that have come.
  int32_t num_computed() const { return num_computed_; }
  // The same once all steps that are planned have run: the next step begins there.
  int32_t num_planned() const { return num_planned_; }
  // Tokens that can be planned: those that are known, and one that a step under way will sample.
  int32_t num_unplanned() const { return num_tokens() + num_pending_ - num_planned_; }
  // Whether the next token surely has to be computed: an answer that ends by its length after the
  // steps under way has none. (One that ends by an end token is found out too late.)
  bool goes_on() const {
    return num_unplanned() > 0 && (num_pending_ == 0 || num_tokens() + num_pending_ < longest_);
  }
  bool may_reuse_prefix() const { return sampling_.num_prompt_logprobs < 0; }
  // Whether its emissions may hold more than a token: its first ones, or those with logprobs.
  bool is_special() const { return special_; }

  // Of a sequence that is needed soon: bring into the processor's cache what planning a step reads,
  void prefetch_for_plan() const { __builtin_prefetch(this, 1); }
  // what its result needs,
  void prefetch_for_result() const {
    __builtin_prefetch(this, 1);
    __builtin_prefetch(newest_.data(), 1);
  }
  // and, after that, where the newest tokens will go.
  void prefetch_tokens() const {
    if (num_tokens_ % kNumNewest == 0) __builtin_prefetch(token_ids_.data() + token_ids_.size(), 1);
  }

  // Plans the next `count` tokens: fills `planned`, and `step` but for its block table.
  void plan_step(int32_t count, SequenceStep& step, PlannedStep& planned);
  // The same for the one token to come, where everything before it is planned.
  void plan_decode(SequenceStep& step, PlannedStep& planned);
  SequenceStart start();
  // The first `count` tokens are in the cache already; nothing has been planned.
  void skip_cached(int32_t count) { num_planned_ = num_computed_ = count; }

  // Throws kInternal where the result does not answer that step. One with an error always does.
  void check_result(const PlannedStep& planned, const SequenceResult& result) const;
  // Takes such a result (without error), moves what is new into `emission` and finishes it where
  // the answer ends.
  void advance(const PlannedStep& planned, SequenceResult& result, Emission& emission);
  // Of a special one, with each of its emissions: its first says when it was scheduled.
  void introduce(Emission& emission);
  // Forgets the computed state: all tokens, the generated ones included, are to be computed again.
  // No step is under way.
  void restart();

 private:
  void collect_prompt_logprobs(const PlannedStep& planned, SequenceResult& result,
                               Emission& emission);
  void finish(Emission& emission) const;
  void add_token(int32_t token);
  void gather_tokens();

  static constexpr int32_t kNumNewest = 8;

  SequenceId id_;
  int32_t num_tokens_;  // prompt and output
  int32_t num_prompt_;
  int32_t num_computed_ = 0;
  int32_t num_planned_ = 0;
  int32_t longest_;  // num_tokens_ at most
  int32_t last_token_;
  int32_t lowest_end_token_;  // of end_token_ids_: what is below it ends nothing
  int8_t num_pending_ = 0;    // tokens that steps under way will sample
  bool special_ = true;

 public:
  // The scheduler's own notes.
  int8_t num_in_flight = 0;  // steps under way
  bool ended = false;        // goes when the last step under way has come back
  int32_t slot = -1;         // place among the decoding ones
  BlockTable table;

 private:
  // Token t is at t % kNumNewest, until it is in token_ids_.
  alignas(64) std::array<int32_t, kNumNewest> newest_;
  std::vector<int32_t> token_ids_;

 public:
  double first_scheduled_ms = -1.0;
  int64_t num_cached_tokens = 0;
  bool failed = false;  // ended by an error

 private:
  bool emitted_ = false;  // has had its first emission
  bool has_logprobs_;
  bool prompt_logprobs_open_;  // still to be handed out
  std::vector<int32_t> end_token_ids_;
  ResolvedSampling sampling_;
  int32_t priority_;
  uint64_t arrival_;
  double deadline_ms_;
  // Entry i belongs to prompt token i; entry 0 stays empty. Survives pre-emption.
  std::vector<PositionLogprobs> prompt_logprobs_;
  int32_t next_prompt_logprob_ = 1;  // the first that no step was asked for
};

inline void Sequence::plan_decode(SequenceStep& step, PlannedStep& planned) {
  planned.start_position = num_planned_;
  planned.num_tokens = 1;
  planned.sample = true;
  planned.prompt_logprobs = false;
  step.id = id_;
  step.start_position = num_planned_;
  step.sample = true;
  step.prompt_logprobs = false;
  step.input_from_previous = num_pending_ > 0;
  step.next_token_id = -1;
  step.token_ids.assign_one(step.input_from_previous ? 0 : last_token_);
  ++num_planned_;
  ++num_pending_;
}

inline void Sequence::add_token(int32_t token) {
  if (num_tokens_ % kNumNewest == 0) gather_tokens();
  newest_[static_cast<size_t>(num_tokens_++ % kNumNewest)] = token;
  last_token_ = token;
}

inline void Sequence::advance(const PlannedStep& planned, SequenceResult& result,
                              Emission& emission) {
  if (special_ && prompt_logprobs_open_) collect_prompt_logprobs(planned, result, emission);
  num_computed_ = planned.end();
  if (!planned.sample) return;
  --num_pending_;
  add_token(result.token_id);
  emission.token_ids.push_back(result.token_id);
  if (special_ && has_logprobs_) emission.logprobs.push_back(std::move(result.logprobs));
  if (last_token_ >= lowest_end_token_ || num_tokens_ >= longest_) finish(emission);
}

}  // namespace glmoe
