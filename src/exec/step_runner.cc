#include "exec/step_runner.h"

#include <utility>

#include "base/check.h"

namespace glmoe {
namespace {

void fail_all(const StepPlan& plan, const std::string& error, StepOutcome& outcome) {
  outcome.error = error;
  outcome.result.step_id = plan.step_id;
  outcome.result.sequences.clear();
  for (const SequenceStep& sequence : plan.sequences) {
    SequenceResult& result = outcome.result.sequences.emplace_back();
    result.id = sequence.id;
    result.error = error;
  }
}

}  // namespace

StepRunner::StepRunner(Executor& executor, std::function<void()> done)
    : executor_(executor), done_(std::move(done)), thread_([this] { loop(); }) {}

StepRunner::~StepRunner() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void StepRunner::submit(StepPlan& plan) {
  {
    std::lock_guard lock(mutex_);
    plans_.push_back(&plan);
  }
  work_.notify_one();
}

bool StepRunner::withdraw(const StepPlan& plan) {
  std::lock_guard lock(mutex_);
  if (plans_.empty() || plans_.back() != &plan) return false;
  plans_.pop_back();
  return true;
}

bool StepRunner::try_take(StepOutcome& outcome) {
  std::lock_guard lock(mutex_);
  if (outcomes_.empty()) return false;
  outcome = std::move(outcomes_.front());
  outcomes_.pop_front();
  return true;
}

void StepRunner::wait_idle() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return plans_.empty() && !running_; });
}

void StepRunner::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stop_ || !plans_.empty(); });
    if (stop_) return;
    StepPlan& plan = *plans_.front();
    plans_.pop_front();
    running_ = true;
    lock.unlock();
    StepOutcome outcome;
    run(plan, outcome);
    lock.lock();
    outcomes_.push_back(std::move(outcome));
    running_ = false;
    if (plans_.empty()) idle_.notify_all();
    lock.unlock();
    done_();
    lock.lock();
  }
}

// The step fails, the process does not: every sequence in it ends with the reason.
void StepRunner::run(StepPlan& plan, StepOutcome& outcome) {
  try {
    if (fill_in_tokens(plan)) {
      outcome.result = executor_.execute(plan);
    } else {
      execute_without_orphans(plan, outcome);
    }
    GLMOE_CHECK_EQ(outcome.result.sequences.size(), plan.sequences.size(), "results of a step");
  } catch (const std::exception& error) {
    fail_all(plan, error.what(), outcome);
  } catch (...) {
    fail_all(plan, "the step failed for an unknown reason", outcome);
  }
  remember_tokens(outcome.result);
  outcome.failure = executor_.failure();
}

int32_t StepRunner::last_token(SequenceId id, size_t& hint) {
  if (hint < last_tokens_.size() && last_tokens_[hint].first == id) {
    return last_tokens_[hint++].second;
  }
  if (last_tokens_by_id_.empty()) {
    last_tokens_by_id_.insert(last_tokens_.begin(), last_tokens_.end());
  }
  const auto found = last_tokens_by_id_.find(id);
  return found == last_tokens_by_id_.end() ? -1 : found->second;
}

// False where the step before brought no token for one of the sequences: it failed there.
bool StepRunner::fill_in_tokens(StepPlan& plan) {
  bool complete = true;
  size_t hint = 0;
  for (SequenceStep& sequence : plan.sequences) {
    if (!sequence.input_from_previous) continue;
    sequence.token_ids.front() = last_token(sequence.id, hint);
    complete &= sequence.token_ids.front() >= 0;
  }
  return complete;
}

void StepRunner::execute_without_orphans(const StepPlan& plan, StepOutcome& outcome) {
  StepPlan rest = plan;
  std::erase_if(rest.sequences, [](const SequenceStep& sequence) {
    return sequence.input_from_previous && sequence.token_ids.front() < 0;
  });
  StepResult ran = executor_.execute(rest);
  outcome.result.step_id = plan.step_id;
  auto next = ran.sequences.begin();
  for (const SequenceStep& sequence : plan.sequences) {
    if (next != ran.sequences.end() && next->id == sequence.id) {
      outcome.result.sequences.push_back(std::move(*next++));
      continue;
    }
    SequenceResult& orphan = outcome.result.sequences.emplace_back();
    orphan.id = sequence.id;
    orphan.error = "the step before brought no token";
  }
}

void StepRunner::remember_tokens(const StepResult& result) {
  last_tokens_.clear();
  last_tokens_by_id_.clear();
  for (const SequenceResult& sequence : result.sequences) {
    if (sequence.sampled && sequence.error.empty()) {
      last_tokens_.emplace_back(sequence.id, sequence.token_id);
    }
  }
}

}  // namespace glmoe
