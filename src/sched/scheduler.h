// Decides what each step computes: in-flight batching, priorities, chunked prefill, reuse of known
// prefixes, pre-emption with recomputation. Host logic only: no tensors, no threads, an injected
// clock; the same calls give the same plans.
//
// The loop is: add and cancel as requests come; plan(); execute; apply(). Two plans may be out at a
// time: the second is made before the tokens of the first are known. Steps must run, and their
// results be applied, in the order of their plans.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
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
  int64_t kv_blocks_free = 0;    // the cached ones among them
  int64_t kv_blocks_cached = 0;  // free, but holding a known prefix
  uint64_t steps = 0;
  uint64_t prompt_tokens = 0;  // of sequences whose first token has come
  uint64_t generated_tokens = 0;
  uint64_t preemptions = 0;
  uint64_t prefix_queries = 0;    // prompt tokens looked up, once a sequence
  uint64_t prefix_hits = 0;       // of those, found
  uint64_t prefix_evictions = 0;  // blocks
  uint64_t timeouts = 0;          // sequences
};

class Scheduler {
 public:
  static constexpr int kMaxPlansOut = 2;

  // `blocks` and `clock` outlive the scheduler; the blocks are used by it alone. Throws
  // kInvalidArgument naming the option.
  Scheduler(const SchedulerConfig& config, BlockManager& blocks, const Clock& clock);

  // Queues a sequence; its id is not in use. Throws kInvalidArgument, before queueing, where it can
  // never run: an empty prompt, or one that leaves no room for a token in max_seq_len or the cache.
  void add(SequenceRequest request);
  // False for an unknown or finished sequence. No emission follows; if it is part of a step under
  // way, its blocks come back with that step's result.
  bool cancel(SequenceId id);
  // Ends the sequences whose deadline has come, queued or running; adds their emissions (kTimeout).
  void expire(std::vector<Emission>& emissions);
  // Infinity where no sequence has one.
  double next_deadline_ms() const;
  bool has_work() const { return !sequences_.empty(); }
  bool has_waiting() const { return !waiting_.empty(); }
  int num_plans_out() const { return num_flights_; }

  // The next step, into `plan`, whose memory is used again. Decodes come first, then prefill.
  // False, and the plan empty and not to be applied, where nothing can be planned: no work, or,
  // while another plan is out, what remains needs its tokens or the blocks of a sequence in it.
  // `released` goes before `started`; ids released while nothing runs travel with the next plan
  // that is not empty.
  bool plan(StepPlan& plan);
  StepPlan plan();
  // Takes what was added since into the plan made last, as far as its budget goes; only while
  // nobody has begun to run it. True where that changed it.
  bool extend(StepPlan& plan);
  // Takes the result of the oldest plan that is out; every sequence has one entry, in the plan's
  // order. A step that failed as a whole is applied as a result with `error` in every entry. What
  // is new replaces `emissions`, whose memory is used again. Throws kInternal, having changed
  // nothing, where the result does not answer the plan.
  void apply(StepResult& result, std::vector<Emission>& emissions);
  std::vector<Emission> apply(StepResult result);

  // Forgets all known prefixes; there is no work.
  void forget_prefixes();

  SchedulerStats stats() const;
  // Prompt and output of one sequence together: max_seq_len, or less where the cache is smaller.
  int64_t max_length() const { return max_length_; }
  // Throws kInternal unless every block, every table and every sequence is accounted for.
  void check() const;

 private:
  struct Row {
    Sequence* sequence = nullptr;
    SequenceId id = 0;
    PlannedStep planned;
  };
  struct Flight {
    uint64_t step_id = 0;
    int64_t budget = 0;  // tokens left
    std::vector<Row> rows;
  };
  struct Earlier {
    bool operator()(const Sequence* a, const Sequence* b) const {
      if (a->priority() != b->priority()) return a->priority() < b->priority();
      return a->arrival() < b->arrival();
    }
  };
  enum class Admission { kAdmitted, kPostponed, kRefused };

  // So many sequences ahead of the one at hand are brought into the processor's cache.
  static constexpr size_t kPrefetch = 16;

  // Making a plan (plan.cc).
  bool make_room();
  bool give_way();
  void plan_decodes(StepPlan& plan);
  void plan_prefills(StepPlan& plan, bool admits);
  Admission admit(Sequence& sequence, StepPlan& plan);
  PrefixMatch find_prefix(Sequence& sequence) const;
  bool fits(const Sequence& sequence, const PrefixMatch& match) const;
  void plan_chunk(Sequence& sequence, StepPlan& plan);
  SequenceStep& next_step(const Sequence& sequence, StepPlan& plan);
  PlannedStep& add_row(Sequence& sequence);
  bool finish_plan(StepPlan& plan, size_t first_new_row);
  void reserve_block(Sequence& sequence);
  bool needs_block(const Sequence& sequence) const;
  int64_t blocks_below(int32_t priority) const;
  Sequence& last_running();
  void preempt(Sequence& sequence);

  Flight& last_flight() { return flight(num_flights_ - 1); }
  Flight& flight(int age) { return flights_[static_cast<size_t>(oldest_flight_ + age) % 2]; }
  int64_t num_running() const {
    return static_cast<int64_t>(decoding_.size() + prefilling_.size());
  }
  void start_running(Sequence& sequence);
  void stop_running(Sequence& sequence);
  void start_decoding(Sequence& sequence);
  void end(Sequence& sequence);
  void forget(Sequence& sequence);
  void look_ahead(const StepPlan& plan, size_t next) const;
  static void look_ahead(const std::vector<Row>& rows, size_t row);
  static void check_result(const Row& row, const SequenceResult& result);
  void take(const Row& row, SequenceResult& result, Emission& emission);
  void commit_blocks();

  SchedulerConfig config_;
  BlockManager& blocks_;
  const Clock& clock_;
  int64_t max_length_;
  int64_t max_running_;
  size_t num_rows_ = 0;  // of the plan being made
  uint64_t arrivals_ = 0;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::set<Sequence*, Earlier> waiting_;
  std::vector<Sequence*> prefilling_;  // in the order Earlier
  std::vector<Sequence*> decoding_;    // in any order: the last takes the place of one that goes
  int64_t num_ended_ = 0;              // in flight still, but answered
  std::map<int32_t, int64_t> running_priorities_;  // priority -> running sequences that have it
  std::set<std::pair<double, SequenceId>> deadlines_;
  std::array<Flight, kMaxPlansOut> flights_;
  int oldest_flight_ = 0;
  int num_flights_ = 0;
  std::vector<SequenceId> released_;  // for the next plan
  std::vector<Sequence*> completed_;  // while a result is taken: whose step completed a block
  SchedulerStats stats_;
};

}  // namespace glmoe
