// Decides what each step computes: in-flight batching, first come first served, chunked prefill,
// pre-emption with recomputation. Host logic only: no tensors, no threads, an injected clock.
//
// The loop is: add and cancel as requests come; plan(); execute; apply(). One plan at a time is
// out: the next sampled tokens depend on it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "cache/block_manager.h"
#include "sched/sequence.h"
#include "step/step.h"

namespace glmoe {

struct SchedulerConfig {
  int64_t max_batch_size = 64;    // sequences in one step
  int64_t max_num_tokens = 2048;  // tokens in one step; also the longest prefill chunk
  int64_t max_seq_len = 0;        // prompt and output of one sequence; 0: what the KV cache holds
};

struct SchedulerStats {
  int64_t num_running = 0;
  int64_t num_waiting = 0;  // never scheduled yet, or pre-empted
  int64_t kv_blocks_total = 0;
  int64_t kv_blocks_free = 0;
  uint64_t steps = 0;
  uint64_t prompt_tokens = 0;  // of sequences whose first token has come
  uint64_t generated_tokens = 0;
  uint64_t preemptions = 0;
};

class Scheduler {
 public:
  // `blocks` and `clock` outlive the scheduler; the blocks are used by it alone. Throws
  // kInvalidArgument naming the option.
  Scheduler(const SchedulerConfig& config, BlockManager& blocks, const Clock& clock);

  // Queues a sequence; its id is not in use. Throws kInvalidArgument, before queueing, where it can
  // never run: an empty prompt, or one that leaves no room for a token in max_seq_len or the cache.
  void add(SequenceRequest request);
  // False for an unknown or finished sequence. No emission follows; if it is part of the step under
  // way, its blocks come back with that step's result.
  bool cancel(SequenceId id);
  bool has_work() const { return !sequences_.empty(); }

  // The next step. Decodes come first, then prefill. Empty, and not to be applied, where there is
  // nothing to run. `released` goes before `started`; ids released while nothing runs travel with
  // the next plan that is not empty.
  StepPlan plan();
  // Takes the result of the last plan; every sequence has one entry, in the plan's order. A step
  // that failed as a whole is applied as a result with `error` in every entry.
  std::vector<Emission> apply(StepResult result);

  SchedulerStats stats() const;
  // Prompt and output of one sequence together: max_seq_len, or less where the cache is smaller.
  int64_t max_length() const { return max_length_; }

 private:
  struct Planned {
    Sequence* sequence;
    int64_t num_tokens;
  };
  void plan_running(StepPlan& plan);
  void admit_waiting(StepPlan& plan);
  bool make_room(const Sequence& sequence, int64_t num_tokens);
  void schedule(Sequence& sequence, StepPlan& plan);
  Emission take(Sequence& sequence, int64_t num_tokens, SequenceResult& result);
  void remove(Sequence& sequence);

  SchedulerConfig config_;
  BlockManager& blocks_;
  const Clock& clock_;
  int64_t max_length_;
  int64_t budget_ = 0;  // tokens left in the plan being made
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  // Both in the order of arrival, and everything in running_ came before everything in waiting_.
  std::deque<Sequence*> waiting_;
  std::vector<Sequence*> running_;
  std::vector<Planned> in_flight_;
  std::vector<SequenceId> released_;  // for the next plan
  SchedulerStats stats_;
};

}  // namespace glmoe
