#include "sched/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace glmoe {

Scheduler::Scheduler(const SchedulerConfig& config, BlockManager& blocks, const Clock& clock)
    : config_(config), blocks_(blocks), clock_(clock) {
  const auto at_least = [](const char* name, int64_t value, int64_t low) {
    if (value < low) fail_argument("{}: at least {} was wanted, found {}", name, low, value);
  };
  at_least("max_batch_size", config.max_batch_size, 1);
  at_least("max_num_tokens", config.max_num_tokens, 1);
  at_least("max_seq_len", config.max_seq_len, 0);
  // The last generated token is never computed, so it needs no place in the cache. With this bound
  // a sequence that has all blocks to itself always goes on to its end.
  max_length_ = blocks.num_blocks() * blocks.tokens_per_block() + 1;
  if (config.max_seq_len > 0) max_length_ = std::min(max_length_, config.max_seq_len);
}

void Scheduler::add(SequenceRequest request) {
  const auto length = static_cast<int64_t>(request.prompt_ids.size());
  if (length == 0) fail_argument("the prompt is empty: at least one token is needed");
  if (request.max_tokens < 1) {
    fail_argument("max_tokens: at least 1 was wanted, found {}", request.max_tokens);
  }
  if (config_.max_seq_len > 0 && length + 1 > config_.max_seq_len) {
    fail_argument("the prompt has {} tokens, at most {} leave room for an answer (max_seq_len {})",
                  length, config_.max_seq_len - 1, config_.max_seq_len);
  }
  if (length + 1 > max_length_) {
    fail_argument(
        "the prompt has {} tokens, the KV cache holds {} ({} blocks of {}): shorten the prompt or "
        "enlarge the cache",
        length, max_length_ - 1, blocks_.num_blocks(), blocks_.tokens_per_block());
  }
  const SequenceId id = request.id;
  GLMOE_CHECK(!sequences_.contains(id), "sequence {} was added twice", id);
  auto sequence = std::make_unique<Sequence>(std::move(request), max_length_);
  waiting_.push_back(sequence.get());
  sequences_.emplace(id, std::move(sequence));
}

bool Scheduler::cancel(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second->cancelled) return false;
  if (found->second->in_flight) {
    found->second->cancelled = true;  // the step under way still writes into its blocks
  } else {
    remove(*found->second);
  }
  return true;
}

// Forgets a sequence that is not in flight any more.
void Scheduler::remove(Sequence& sequence) {
  const auto running = std::ranges::find(running_, &sequence);
  if (running != running_.end()) {
    running_.erase(running);
    released_.push_back(sequence.id());
  } else {
    std::erase(waiting_, &sequence);
  }
  blocks_.release(sequence.id());
  sequences_.erase(sequence.id());
}

StepPlan Scheduler::plan() {
  GLMOE_CHECK(in_flight_.empty(), "a plan is made only after the last one's result was applied");
  StepPlan plan;
  budget_ = config_.max_num_tokens;
  const uint64_t preemptions = stats_.preemptions;
  plan_running(plan);
  if (stats_.preemptions == preemptions) admit_waiting(plan);
  if (plan.empty()) return plan;
  plan.step_id = ++stats_.steps;
  plan.released = std::exchange(released_, {});
  return plan;
}

// A prompt is admitted only when those before it are computed to their end, so at most the last
// running sequence is in its prefill: this order puts the decodes first.
void Scheduler::plan_running(StepPlan& plan) {
  for (size_t i = 0; i < running_.size() && budget_ > 0; ++i) {
    Sequence& sequence = *running_[i];
    const int64_t count = std::min(sequence.num_uncomputed(), budget_);
    if (make_room(sequence, sequence.num_computed() + count)) schedule(sequence, plan);
  }
}

// Pre-empts from the latest arrival on until `sequence` has its blocks; false if that came to
// `sequence` itself.
bool Scheduler::make_room(const Sequence& sequence, int64_t num_tokens) {
  while (!blocks_.reserve(sequence.id(), num_tokens)) {
    Sequence& latest = *running_.back();
    running_.pop_back();
    blocks_.release(latest.id());
    released_.push_back(latest.id());
    latest.restart();
    waiting_.push_front(&latest);
    ++stats_.preemptions;
    if (&latest == &sequence) return false;
  }
  return true;
}

void Scheduler::admit_waiting(StepPlan& plan) {
  const auto max_batch_size = static_cast<size_t>(config_.max_batch_size);
  while (!waiting_.empty() && budget_ > 0 && running_.size() < max_batch_size) {
    Sequence& sequence = *waiting_.front();
    // One block of growth for each running sequence stays free; otherwise the newcomer would often
    // be pre-empted again before its prefill has paid off.
    const int64_t headroom = static_cast<int64_t>(running_.size());
    if (blocks_.blocks_for(sequence.num_tokens()) + headroom > blocks_.num_free()) return;
    GLMOE_CHECK(blocks_.reserve(sequence.id(), sequence.num_tokens()));
    waiting_.pop_front();
    running_.push_back(&sequence);
    if (sequence.first_scheduled_ms < 0) sequence.first_scheduled_ms = clock_.now_ms();
    plan.started.push_back(sequence.start());
    schedule(sequence, plan);
  }
}

void Scheduler::schedule(Sequence& sequence, StepPlan& plan) {
  const int64_t count = std::min(sequence.num_uncomputed(), budget_);
  SequenceStep step = sequence.next_step(count);
  step.block_table = blocks_.table(sequence.id());
  plan.sequences.push_back(std::move(step));
  in_flight_.push_back({&sequence, count});
  sequence.in_flight = true;
  budget_ -= count;
}

std::vector<Emission> Scheduler::apply(StepResult result) {
  // All checks come before any change, so that a wrong result can be answered by applying errors.
  GLMOE_CHECK_EQ(result.step_id, stats_.steps);
  GLMOE_CHECK_EQ(result.sequences.size(), in_flight_.size(), "results of step {}", result.step_id);
  for (size_t i = 0; i < in_flight_.size(); ++i) {
    in_flight_[i].sequence->check_result(in_flight_[i].num_tokens, result.sequences[i]);
  }
  std::vector<Emission> emissions;
  emissions.reserve(in_flight_.size());
  for (size_t i = 0; i < in_flight_.size(); ++i) {
    Sequence& sequence = *in_flight_[i].sequence;
    sequence.in_flight = false;
    if (sequence.cancelled) {
      remove(sequence);
      continue;
    }
    Emission emission = take(sequence, in_flight_[i].num_tokens, result.sequences[i]);
    const bool finished = emission.finish_reason != FinishReason::kNone;
    const bool has_news = emission.first_scheduled || finished || !emission.token_ids.empty() ||
                          !emission.prompt_logprobs.empty();
    if (has_news) emissions.push_back(std::move(emission));
    if (finished) remove(sequence);
  }
  in_flight_.clear();
  return emissions;
}

Emission Scheduler::take(Sequence& sequence, int64_t num_tokens, SequenceResult& result) {
  Emission emission;
  emission.id = sequence.id();
  if (result.error.empty()) {
    sequence.advance(num_tokens, result, emission);
  } else {
    emission.finish_reason = FinishReason::kError;
    emission.error = std::move(result.error);
  }
  if (!emission.token_ids.empty()) {
    ++stats_.generated_tokens;
    if (sequence.num_generated() == 1) {
      stats_.prompt_tokens += static_cast<uint64_t>(sequence.num_prompt_tokens());
    }
  }
  if (!sequence.emitted) {
    emission.first_scheduled = true;
    emission.first_scheduled_ms = sequence.first_scheduled_ms;
    sequence.emitted = true;
  }
  return emission;
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = stats_;
  stats.num_running = static_cast<int64_t>(running_.size());
  stats.num_waiting = static_cast<int64_t>(waiting_.size());
  stats.kv_blocks_total = blocks_.num_blocks();
  stats.kv_blocks_free = blocks_.num_free();
  return stats;
}

}  // namespace glmoe
