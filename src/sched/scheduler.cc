#include "sched/scheduler.h"

#include <algorithm>
#include <limits>
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
  max_length_ = std::min<int64_t>(max_length_, std::numeric_limits<int32_t>::max());
  // Every running sequence can decode in every step.
  max_running_ = std::min(config.max_batch_size, config.max_num_tokens);
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
  auto sequence = std::make_unique<Sequence>(std::move(request), static_cast<int32_t>(max_length_),
                                             arrivals_++);
  if (sequence->deadline_ms() > 0) deadlines_.emplace(sequence->deadline_ms(), id);
  waiting_.insert(sequence.get());
  sequences_.emplace(id, std::move(sequence));
}

bool Scheduler::cancel(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second->ended) return false;
  end(*found->second);
  return true;
}

double Scheduler::next_deadline_ms() const {
  return deadlines_.empty() ? std::numeric_limits<double>::infinity() : deadlines_.begin()->first;
}

void Scheduler::expire(std::vector<Emission>& emissions) {
  if (deadlines_.empty()) return;
  const double now_ms = clock_.now_ms();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_ms) {
    Sequence& sequence = *sequences_.at(deadlines_.begin()->second);
    Emission& emission = emissions.emplace_back();
    emission.id = sequence.id();
    emission.finish_reason = FinishReason::kTimeout;
    ++stats_.timeouts;
    end(sequence);
  }
}

// --- Running, decoding, ended

void Scheduler::start_running(Sequence& sequence) { ++running_priorities_[sequence.priority()]; }

void Scheduler::start_decoding(Sequence& sequence) {
  sequence.slot = static_cast<int32_t>(decoding_.size());
  decoding_.push_back(&sequence);
}

// Of a running sequence: the executor may drop what it knows about it.
void Scheduler::stop_running(Sequence& sequence) {
  if (sequence.slot >= 0) {
    Sequence* last = decoding_.back();
    decoding_.pop_back();
    if (last != &sequence) {
      last->slot = sequence.slot;
      decoding_[static_cast<size_t>(last->slot)] = last;
    }
    sequence.slot = -1;
  } else {
    std::erase(prefilling_, &sequence);
  }
  const auto priority = running_priorities_.find(sequence.priority());
  if (--priority->second == 0) running_priorities_.erase(priority);
}

// The sequence has been answered. Steps under way still write into its blocks.
void Scheduler::end(Sequence& sequence) {
  if (sequence.deadline_ms() > 0) deadlines_.erase({sequence.deadline_ms(), sequence.id()});
  const bool waits = waiting_.erase(&sequence) > 0;
  if (!waits) stop_running(sequence);
  if (sequence.num_in_flight > 0) {
    sequence.ended = true;
    ++num_ended_;
    return;
  }
  if (!waits) released_.push_back(sequence.id());
  forget(sequence);
}

// What a failed sequence computed before may be what made it fail: nobody is to reuse it.
void Scheduler::forget(Sequence& sequence) {
  if (sequence.failed) {
    blocks_.discard(sequence.table);
  } else {
    blocks_.release(sequence.table, sequence.token_ids(), sequence.num_computed());
  }
  sequences_.erase(sequence.id());
}

// --- Results

std::vector<Emission> Scheduler::apply(StepResult result) {
  std::vector<Emission> emissions;
  apply(result, emissions);
  return emissions;
}

// Nearly all are seen to be right without a look at the sequence.
void Scheduler::check_result(const Row& row, const SequenceResult& result) {
  const bool plainly_right =
      result.id == row.id && result.sampled == row.planned.sample && !row.planned.prompt_logprobs;
  if (plainly_right || row.sequence->ended) return;
  row.sequence->check_result(row.planned, result);
}

void Scheduler::look_ahead(const std::vector<Row>& rows, size_t row) {
  if (row + kPrefetch < rows.size()) rows[row + kPrefetch].sequence->prefetch_for_result();
  if (row + kPrefetch / 2 < rows.size()) rows[row + kPrefetch / 2].sequence->prefetch_tokens();
}

void Scheduler::apply(StepResult& result, std::vector<Emission>& emissions) {
  // All checks come before any change, so that a wrong result can be answered by applying errors.
  GLMOE_CHECK(num_flights_ > 0, "a result of step {} came, but no plan is out", result.step_id);
  Flight& oldest = flight(0);
  GLMOE_CHECK_EQ(result.step_id, oldest.step_id);
  GLMOE_CHECK_EQ(result.sequences.size(), oldest.rows.size(), "results of step {}", result.step_id);
  for (size_t i = 0; i < oldest.rows.size(); ++i) {
    check_result(oldest.rows[i], result.sequences[i]);
  }
  size_t num_emissions = 0;
  for (size_t i = 0; i < oldest.rows.size(); ++i) {
    look_ahead(oldest.rows, i);
    Sequence& sequence = *oldest.rows[i].sequence;
    --sequence.num_in_flight;
    if (sequence.ended) {
      if (sequence.num_in_flight > 0) continue;
      --num_ended_;
      released_.push_back(sequence.id());
      forget(sequence);
      continue;
    }
    if (num_emissions == emissions.size()) emissions.emplace_back();
    Emission& emission = emissions[num_emissions];
    emission.reset(sequence.id());
    take(oldest.rows[i], result.sequences[i], emission);
    const bool finished = emission.finish_reason != FinishReason::kNone;
    const bool has_news = !emission.token_ids.empty() || emission.first_scheduled || finished ||
                          !emission.prompt_logprobs.empty();
    if (has_news) ++num_emissions;
    if (finished) {
      end(sequence);
    } else if (blocks_.completes_block(sequence.table, sequence.num_computed())) {
      completed_.push_back(&sequence);
    }
  }
  emissions.resize(num_emissions);
  commit_blocks();
  oldest.rows.clear();
  oldest_flight_ = (oldest_flight_ + 1) % kMaxPlansOut;
  --num_flights_;
}

void Scheduler::take(const Row& row, SequenceResult& result, Emission& emission) {
  Sequence& sequence = *row.sequence;
  if (result.error.empty()) {
    sequence.advance(row.planned, result, emission);
  } else {
    sequence.failed = true;
    emission.finish_reason = FinishReason::kError;
    emission.error = std::move(result.error);
    emission.has_details = true;
  }
  stats_.generated_tokens += emission.token_ids.size();
  if (!sequence.is_special()) return;
  if (!emission.token_ids.empty() && sequence.num_generated() == 1) {
    stats_.prompt_tokens += static_cast<uint64_t>(sequence.num_prompt_tokens());
  }
  sequence.introduce(emission);
}

// Each reads half a dozen places all over the memory, one found through the other: a few are under
// way at a time, each at another stage.
void Scheduler::commit_blocks() {
  constexpr size_t kApart = 8;
  const size_t count = completed_.size();
  for (size_t i = 0; i < count + 3 * kApart; ++i) {
    const auto at_stage = [&](size_t stage) {
      const size_t back = stage * kApart;
      return i >= back && i - back < count ? completed_[i - back] : nullptr;
    };
    if (Sequence* sequence = at_stage(0)) sequence->table.prefetch();
    if (Sequence* sequence = at_stage(1)) sequence->table.prefetch_ends();
    if (Sequence* sequence = at_stage(2)) {
      blocks_.prepare_commit(sequence->table, sequence->token_ids());
    }
    if (Sequence* sequence = at_stage(3)) {
      blocks_.commit(sequence->table, sequence->token_ids(), sequence->num_computed());
    }
  }
  completed_.clear();
}

// --- Looking

void Scheduler::forget_prefixes() {
  GLMOE_CHECK(sequences_.empty(), "prefixes are forgotten only where no sequence uses them");
  blocks_.forget();
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = stats_;
  const BlockStats blocks = blocks_.stats();
  stats.num_running = num_running();
  stats.num_waiting = static_cast<int64_t>(waiting_.size());
  stats.kv_blocks_total = blocks_.num_blocks();
  stats.kv_blocks_free = blocks_.num_free();
  stats.kv_blocks_cached = blocks.num_cached;
  stats.prefix_evictions = blocks.evictions;
  return stats;
}

void Scheduler::check() const {
  std::vector<const BlockTable*> tables;
  int64_t num_ended = 0, in_flight = 0, rows = 0;
  std::map<int32_t, int64_t> priorities;
  for (const auto& [id, sequence] : sequences_) {
    tables.push_back(&sequence->table);
    num_ended += sequence->ended ? 1 : 0;
    in_flight += sequence->num_in_flight;
    const bool waits = waiting_.contains(sequence.get());
    if (waits) {
      GLMOE_CHECK(sequence->table.size() == 0 && sequence->num_in_flight == 0 && !sequence->ended,
                  "sequence {} waits and holds {} blocks", id, sequence->table.size());
    } else if (!sequence->ended) {
      ++priorities[sequence->priority()];
      GLMOE_CHECK_LE(sequence->num_planned(), sequence->table.capacity(), "sequence {}", id);
    }
    GLMOE_CHECK_LE(sequence->num_computed(), sequence->num_planned(), "sequence {}", id);
    GLMOE_CHECK(!sequence->ended || sequence->num_in_flight > 0, "sequence {} never goes", id);
  }
  for (const Flight& flight : flights_) rows += static_cast<int64_t>(flight.rows.size());
  GLMOE_CHECK_EQ(num_ended, num_ended_);
  GLMOE_CHECK_EQ(in_flight, rows, "rows in flight");
  GLMOE_CHECK(priorities == running_priorities_, "priorities of running sequences");
  GLMOE_CHECK_EQ(static_cast<size_t>(num_running() + num_ended_) + waiting_.size(),
                 sequences_.size());
  for (size_t i = 0; i < decoding_.size(); ++i) {
    GLMOE_CHECK_EQ(decoding_[i]->slot, static_cast<int32_t>(i));
  }
  blocks_.check(tables);
}

}  // namespace glmoe
