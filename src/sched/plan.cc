// How the scheduler makes a plan: room first (pre-emption), then decodes, then prefill.
#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"
#include "sched/scheduler.h"

namespace glmoe {
namespace {

// So many waiting sequences may be left for the next step, because another computes their prefix in
// this one, before admission stops: each costs a lookup in every step.
constexpr int kMaxPostponed = 32;

}  // namespace

StepPlan Scheduler::plan() {
  StepPlan result;
  plan(result);
  return result;
}

bool Scheduler::plan(StepPlan& plan) {
  GLMOE_CHECK(num_flights_ < kMaxPlansOut, "{} plans are out: apply a result first", num_flights_);
  plan.started.clear();
  plan.copies.clear();
  num_rows_ = 0;
  ++num_flights_;
  last_flight().budget = config_.max_num_tokens;
  const uint64_t preemptions = stats_.preemptions;
  // Whoever had to lose its blocks would only come back for the blocks of the next.
  bool planned = make_room();
  const bool admits = stats_.preemptions == preemptions;
  planned = planned && (!admits || give_way());
  if (planned) {
    plan_decodes(plan);
    plan_prefills(plan, admits);
  }
  if (finish_plan(plan, 0)) return true;
  --num_flights_;
  return false;
}

bool Scheduler::extend(StepPlan& plan) {
  GLMOE_CHECK(num_flights_ > 0 && plan.step_id == last_flight().step_id,
              "step {} is not the plan made last", plan.step_id);
  if (waiting_.empty()) return false;
  num_rows_ = plan.sequences.size();
  const size_t before = num_rows_;
  plan_prefills(plan, true);
  return finish_plan(plan, before);
}

// True where there are rows beyond the first `num_old_rows`.
bool Scheduler::finish_plan(StepPlan& plan, size_t num_old_rows) {
  plan.sequences.resize(num_rows_);
  std::erase_if(prefilling_, [&](Sequence* sequence) {
    if (sequence->num_planned() < sequence->num_tokens()) return false;
    start_decoding(*sequence);
    return true;
  });
  if (num_rows_ == num_old_rows) {
    if (num_old_rows == 0) plan.released.clear();
    return false;
  }
  if (num_old_rows == 0) {
    plan.step_id = last_flight().step_id = ++stats_.steps;
    plan.released = std::exchange(released_, {});
  }
  return true;
}

// --- Room

bool Scheduler::needs_block(const Sequence& sequence) const {
  return sequence.num_planned() >= sequence.table.capacity() && sequence.goes_on();
}

// make_room() has seen to it that there is one.
void Scheduler::reserve_block(Sequence& sequence) {
  GLMOE_CHECK(blocks_.reserve(sequence.table, sequence.num_planned() + 1),
              "no block is left for sequence {}", sequence.id());
}

// The running sequence that loses its blocks first: of the lowest priority the latest arrival.
Sequence& Scheduler::last_running() {
  Sequence* last = nullptr;
  for (const auto* list : {&decoding_, &prefilling_}) {
    for (Sequence* sequence : *list) {
      if (last == nullptr || Earlier()(last, sequence)) last = sequence;
    }
  }
  GLMOE_CHECK(last != nullptr, "blocks are short, but nothing runs");
  return *last;
}

void Scheduler::preempt(Sequence& sequence) {
  stop_running(sequence);
  blocks_.release(sequence.table, sequence.token_ids(), sequence.num_computed());
  released_.push_back(sequence.id());
  sequence.restart();
  waiting_.insert(&sequence);
  ++stats_.preemptions;
}

// A block for every decoding sequence that begins one; a prompt got all of its own when it was
// admitted. False where a sequence in flight would have to lose its blocks for that: its step is
// waited for.
bool Scheduler::make_room() {
  if (blocks_.num_free() >= static_cast<int64_t>(decoding_.size())) return true;
  int64_t needed = 0;
  for (const Sequence* sequence : decoding_) needed += needs_block(*sequence) ? 1 : 0;
  while (needed > blocks_.num_free()) {
    if (num_flights_ > 1) return false;
    Sequence& last = last_running();
    needed -= last.slot >= 0 && needs_block(last) ? 1 : 0;
    preempt(last);
  }
  return true;
}

// At most the blocks that come free when everything below this priority stops.
int64_t Scheduler::blocks_below(int32_t priority) const {
  int64_t count = 0;
  for (const auto* list : {&decoding_, &prefilling_}) {
    for (const Sequence* sequence : *list) {
      if (sequence->priority() > priority) count += sequence->table.size();
    }
  }
  return count;
}

// The first in the queue takes the place of running sequences of a lower priority, where that
// helps. False as in make_room().
bool Scheduler::give_way() {
  if (waiting_.empty() || running_priorities_.empty()) return true;
  Sequence& first = **waiting_.begin();
  const auto outranks = [&] {
    return !running_priorities_.empty() && running_priorities_.rbegin()->first > first.priority();
  };
  if (!outranks()) return true;
  // What the decoding ones are about to take is not there for the newcomer.
  for (Sequence* sequence : decoding_) {
    if (needs_block(*sequence)) reserve_block(*sequence);
  }
  const PrefixMatch match = find_prefix(first);
  if (fits(first, match)) return true;
  const auto num_matched = static_cast<int64_t>(match.blocks.size());
  int64_t wanted = blocks_.blocks_for(first.num_tokens()) - num_matched;
  for (const auto& [priority, count] : running_priorities_) {
    if (priority <= first.priority()) wanted += count;  // the headroom of those that stay
  }
  if (wanted > blocks_.num_free() - match.num_unreferenced + blocks_below(first.priority())) {
    return true;
  }
  if (num_flights_ > 1) return false;
  while (outranks() && !fits(first, find_prefix(first))) preempt(last_running());
  return true;
}

// --- Rows

// The next row's place in the plan, with the sequence's block table. The row of the step before
// last, whose memory it has, often held the same table: then only what is new is copied.
SequenceStep& Scheduler::next_step(const Sequence& sequence, StepPlan& plan) {
  if (num_rows_ == plan.sequences.size()) plan.sequences.emplace_back();
  SequenceStep& step = plan.sequences[num_rows_++];
  const BlockTable& table = sequence.table;
  if (step.table_version == table.version()) return step;
  const std::span<const int32_t> blocks = table.blocks();
  const bool same_beginning = step.id == sequence.id() && step.table_version > 0 &&
                              step.table_version >= table.base_version();
  if (!same_beginning) step.block_table.clear();
  step.block_table.append(blocks.subspan(step.block_table.size()));
  step.table_version = table.version();
  return step;
}

PlannedStep& Scheduler::add_row(Sequence& sequence) {
  Row& row = last_flight().rows.emplace_back();
  row.sequence = &sequence;
  row.id = sequence.id();
  ++sequence.num_in_flight;
  return row.planned;
}

// Thousands of sequences do not fit the processor's nearer caches: what the rows behind this one
// need is on its way before they are reached.
void Scheduler::look_ahead(const StepPlan& plan, size_t next) const {
  if (next + kPrefetch < decoding_.size()) decoding_[next + kPrefetch]->prefetch_for_plan();
  if (num_rows_ + kPrefetch < plan.sequences.size()) {
    __builtin_prefetch(&plan.sequences[num_rows_ + kPrefetch], 1);
  }
}

void Scheduler::plan_decodes(StepPlan& plan) {
  for (size_t i = 0; i < decoding_.size(); ++i) {
    look_ahead(plan, i);
    Sequence& sequence = *decoding_[i];
    if (!sequence.goes_on()) continue;
    if (sequence.num_planned() >= sequence.table.capacity()) reserve_block(sequence);
    sequence.plan_decode(next_step(sequence, plan), add_row(sequence));
  }
  last_flight().budget -= static_cast<int64_t>(num_rows_);
}

void Scheduler::plan_chunk(Sequence& sequence, StepPlan& plan) {
  const int64_t count = std::min<int64_t>(sequence.num_unplanned(), last_flight().budget);
  sequence.plan_step(static_cast<int32_t>(count), next_step(sequence, plan), add_row(sequence));
  last_flight().budget -= count;
  blocks_.announce(sequence.table, sequence.token_ids(), sequence.num_planned());
}

// Prompts that have begun go on before others are admitted, but for those of a higher priority.
void Scheduler::plan_prefills(StepPlan& plan, bool admits) {
  size_t next = 0;
  int num_postponed = 0;
  auto candidate = waiting_.begin();
  while (last_flight().budget > 0) {
    Sequence* running = next < prefilling_.size() ? prefilling_[next] : nullptr;
    if (running != nullptr && running->num_planned() >= running->num_tokens()) {
      ++next;  // planned in this very step
      continue;
    }
    const bool may_admit = admits && candidate != waiting_.end();
    if (may_admit && (running == nullptr || (*candidate)->priority() < running->priority())) {
      Sequence& sequence = **candidate;
      const auto following = std::next(candidate);
      const Admission admission = admit(sequence, plan);
      if (admission == Admission::kPostponed) ++num_postponed;
      admits = admission != Admission::kRefused && num_postponed < kMaxPostponed;
      candidate = following;
    } else if (running != nullptr) {
      plan_chunk(*running, plan);
      ++next;
    } else {
      break;
    }
  }
}

// The last token is always computed: its logits are wanted.
PrefixMatch Scheduler::find_prefix(Sequence& sequence) const {
  if (!sequence.may_reuse_prefix()) return {};
  const std::span<const int32_t> tokens = sequence.token_ids();
  return blocks_.match(sequence.table, tokens.first(tokens.size() - 1));
}

bool Scheduler::fits(const Sequence& sequence, const PrefixMatch& match) const {
  if (num_running() + num_ended_ >= max_running_) return false;
  // One block of growth for each running sequence stays free; otherwise the newcomer would often
  // be pre-empted again before its prefill has paid off.
  const int64_t headroom = num_running();
  const int64_t wanted =
      blocks_.blocks_for(sequence.num_tokens()) - static_cast<int64_t>(match.blocks.size());
  return wanted + headroom <= blocks_.num_free() - match.num_unreferenced;
}

Scheduler::Admission Scheduler::admit(Sequence& sequence, StepPlan& plan) {
  if (num_running() + num_ended_ >= max_running_) return Admission::kRefused;
  const PrefixMatch match = find_prefix(sequence);
  if (match.more_to_come) return Admission::kPostponed;
  if (!fits(sequence, match)) return Admission::kRefused;
  PrefixCopy copy;
  GLMOE_CHECK(blocks_.start(sequence.table, match, sequence.num_tokens(), copy));
  if (copy.from >= 0) plan.copies.push_back({.from = copy.from, .to = copy.to});
  waiting_.erase(&sequence);
  start_running(sequence);
  sequence.skip_cached(static_cast<int32_t>(match.num_tokens));
  if (sequence.first_scheduled_ms < 0) {
    sequence.first_scheduled_ms = clock_.now_ms();
    sequence.num_cached_tokens = std::min<int64_t>(match.num_tokens, sequence.num_prompt_tokens());
    if (sequence.may_reuse_prefix() && blocks_.enable_reuse()) {
      stats_.prefix_queries += static_cast<uint64_t>(sequence.num_prompt_tokens());
      stats_.prefix_hits += static_cast<uint64_t>(sequence.num_cached_tokens);
    }
  }
  plan.started.push_back(sequence.start());
  const auto place = std::ranges::upper_bound(prefilling_, &sequence, Earlier());
  prefilling_.insert(place, &sequence);
  plan_chunk(sequence, plan);
  return Admission::kAdmitted;
}

}  // namespace glmoe
