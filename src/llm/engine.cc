// The engine's own thread: what it does between two steps and while one runs.
#include "llm/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace glmoe {
namespace {

// Readers of one step are told in groups of so many, in one go: a reader's thread that serves many
// of them is woken once for a group, and the first do not wait for the last of a large batch.
constexpr size_t kToldTogether = 256;

}  // namespace

Engine::Engine(const EngineOptions& options, std::unique_ptr<Executor> executor,
               std::shared_ptr<const Tokenizer> tokenizer)
    : options_(options),
      executor_(std::move(executor)),
      tokenizer_(std::move(tokenizer)),
      blocks_(options.num_blocks, options.tokens_per_block, options.enable_block_reuse),
      scheduler_(options.scheduler, blocks_, clock_) {
  stats_.kv_blocks_total = options.num_blocks;
  stats_.kv_blocks_free = options.num_blocks;
  thread_ = std::thread([this] { loop(); });
}

Engine::~Engine() { shutdown(); }

void Engine::shutdown() {
  std::lock_guard only_one(shutdown_mutex_);
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
  executor_.reset();
}

// Whatever goes wrong here, every caller hears an end.
void Engine::loop() {
  std::string error;
  try {
    StepRunner runner(*executor_, [this] {
      {
        std::lock_guard lock(mutex_);
        ++outcomes_ready_;
      }
      wake_.notify_one();
    });
    try {
      serve(runner);
    } catch (const std::exception& exception) {
      error = fmt::format("the engine stopped: {}", exception.what());
    }
    // Before the runner waits for the step that runs.
    finish_all(error.empty() ? FinishReason::kCancelled : FinishReason::kError, error);
  } catch (const std::exception& exception) {
    error = fmt::format("the engine stopped: {}", exception.what());
    finish_all(FinishReason::kError, error);
  }
  if (!error.empty()) log::error("{}", error);
}

void Engine::serve(StepRunner& runner) {
  while (wait_for_work()) {
    take_work(runner);
    expire();
    const bool stepped = take_outcome(runner);
    // Where a stop string ends an answer, its next token need not be planned; all else is delivered
    // while the next step runs. If one runs already, there is time for everything.
    if (stepped) emit_all(scheduler_.num_plans_out() > 0 ? Emit::kAll : Emit::kWithStopStrings);
    fill_pipeline(runner);
    if (stepped) emit_all(Emit::kAll);
  }
}

bool Engine::wait_for_work() {
  std::unique_lock lock(mutex_);
  const auto has_work = [this] {
    return stop_ || outcomes_ready_ > 0 || !submissions_.empty() || !cancellations_.empty() ||
           !tasks_.empty() || (!idle_tasks_.empty() && !scheduler_.has_work());
  };
  const double deadline_ms = scheduler_.next_deadline_ms();
  if (std::isinf(deadline_ms)) {
    wake_.wait(lock, has_work);
  } else {
    const std::chrono::duration<double, std::milli> since_epoch(deadline_ms);
    wake_.wait_until(lock,
                     std::chrono::steady_clock::time_point(
                         std::chrono::ceil<std::chrono::steady_clock::duration>(since_epoch)),
                     has_work);
  }
  if (stop_) return false;
  new_submissions_.swap(submissions_);
  new_cancellations_.swap(cancellations_);
  new_tasks_.swap(tasks_);
  if (new_submissions_.empty() && !scheduler_.has_work()) {
    std::move(idle_tasks_.begin(), idle_tasks_.end(), std::back_inserter(new_tasks_));
    idle_tasks_.clear();
  }
  return true;
}

void Engine::take_work(StepRunner& runner) {
  for (Submission& submission : new_submissions_) admit(std::move(submission));
  new_submissions_.clear();
  for (const uint64_t id : new_cancellations_) drop_request(id);
  if (!new_cancellations_.empty()) publish_stats();
  new_cancellations_.clear();
  if (new_tasks_.empty()) return;
  runner.wait_idle();
  for (auto& task : new_tasks_) task();
  new_tasks_.clear();
}

void Engine::admit(Submission submission) {
  std::vector<SequenceId>& ids = requests_[submission.state->id];
  for (size_t i = 0; i < submission.sequences.size(); ++i) {
    SequenceRequest& sequence = submission.sequences[i];
    sequence.id = next_sequence_id_++;
    ids.push_back(sequence.id);
    running_.emplace(sequence.id, Running{submission.state, std::move(submission.answers[i])});
    scheduler_.add(std::move(sequence));
  }
}

// Drops the answer from all lists; its request, too, with its last one.
void Engine::forget_sequence(SequenceId id, RequestState& state) {
  const auto request = requests_.find(state.id);
  std::erase(request->second, id);
  if (request->second.empty()) {
    requests_.erase(request);
    if (!state.started) {
      std::lock_guard lock(mutex_);
      --num_queued_;
    }
  }
  running_.erase(id);
}

// Ends an answer that the scheduler does not know any more.
void Engine::finish_answer(SequenceId id, const Emission& last) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  const std::shared_ptr<RequestState> state = found->second.state;
  OutputDelta delta = found->second.answer.consume(last);
  forget_sequence(id, *state);
  state->push(std::move(delta), clock_.now_ms());
}

void Engine::drop_request(uint64_t request_id) {
  const auto found = requests_.find(request_id);
  if (found == requests_.end()) return;
  const std::vector<SequenceId> ids = found->second;
  for (const SequenceId id : ids) scheduler_.cancel(id);
  cancellations_done_ += ids.size();
  publish_stats();
  Emission cancelled;
  cancelled.finish_reason = FinishReason::kCancelled;
  for (const SequenceId id : ids) finish_answer(id, cancelled);
}

void Engine::expire() {
  timeouts_.clear();
  scheduler_.expire(timeouts_);
  if (timeouts_.empty()) return;
  publish_stats();
  for (const Emission& emission : timeouts_) finish_answer(emission.id, emission);
}

void Engine::finish_all(FinishReason reason, const std::string& error) {
  Emission last;
  last.finish_reason = reason;
  last.error = error;
  tell_readers();  // of what came before something went wrong
  const double now_ms = clock_.now_ms();
  for (auto& [id, running] : running_) running.state->push(running.answer.consume(last), now_ms);
  running_.clear();
  requests_.clear();
  std::vector<Submission> submissions = std::exchange(new_submissions_, {});
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    if (!error.empty()) stats_.failure = error;
    std::ranges::move(submissions_, std::back_inserter(submissions));
    submissions_.clear();
    for (Tasks* tasks : {&new_tasks_, &tasks_, &idle_tasks_}) tasks->clear();
  }
  for (Submission& submission : submissions) {
    for (AnswerState& answer : submission.answers) {
      submission.state->push(answer.consume(last), now_ms);
    }
  }
}

// --- Steps

bool Engine::take_outcome(StepRunner& runner) {
  if (!runner.try_take(outcome_)) return false;
  {
    std::lock_guard lock(mutex_);
    --outcomes_ready_;
  }
  StepResult& result = outcome_.result;
  if (!outcome_.error.empty()) log::error("step {} failed: {}", result.step_id, outcome_.error);
  failure_ = outcome_.failure;
  try {
    scheduler_.apply(result, emissions_);
  } catch (const std::exception& error) {
    // The executor answered something else than was asked: the step counts as failed.
    log::error("step {}: {}", result.step_id, error.what());
    const size_t oldest = plans_made_ - static_cast<size_t>(scheduler_.num_plans_out());
    const StepPlan& plan = plans_[oldest % plans_.size()];
    StepResult failed{.step_id = plan.step_id, .sequences = {}};
    for (const SequenceStep& sequence : plan.sequences) {
      failed.sequences.push_back({.id = sequence.id, .error = error.what()});
    }
    scheduler_.apply(failed, emissions_);
  }
  ++steps_;
  publish_stats();  // before the callers hear of it: a finished request finds its blocks returned
  return true;
}

void Engine::fill_pipeline(StepRunner& runner) {
  const int most = options_.plan_ahead ? Scheduler::kMaxPlansOut : 1;
  // What came since the last plan was made gets into it, if nobody has begun to run it.
  if (scheduler_.num_plans_out() == Scheduler::kMaxPlansOut && scheduler_.has_waiting()) {
    StepPlan& last = plans_[(plans_made_ - 1) % plans_.size()];
    if (runner.withdraw(last)) {
      const size_t num_started = last.started.size();
      if (scheduler_.extend(last)) note_started(last, num_started);
      runner.submit(last);
    }
  }
  while (scheduler_.num_plans_out() < most) {
    StepPlan& plan = plans_[plans_made_ % plans_.size()];
    if (!scheduler_.plan(plan)) break;
    ++plans_made_;
    runner.submit(plan);
    note_started(plan, 0);
  }
  GLMOE_CHECK(scheduler_.num_plans_out() > 0 || !scheduler_.has_work(),
              "sequences wait, but no step can be planned");
}

void Engine::note_started(const StepPlan& plan, size_t first) {
  int64_t num_started = 0;
  for (size_t i = first; i < plan.started.size(); ++i) {
    const auto running = running_.find(plan.started[i].id);
    if (running == running_.end() || running->second.state->started) continue;
    running->second.state->started = true;
    ++num_started;
  }
  if (num_started > 0) {
    std::lock_guard lock(mutex_);
    num_queued_ -= num_started;
  }
  publish_stats();
}

void Engine::publish_stats() {
  const SchedulerStats scheduled = scheduler_.stats();
  std::lock_guard lock(mutex_);
  stats_.steps = steps_;
  stats_.num_running = scheduled.num_running;
  stats_.num_waiting = scheduled.num_waiting;
  stats_.kv_blocks_free = scheduled.kv_blocks_free;
  stats_.kv_blocks_cached = scheduled.kv_blocks_cached;
  stats_.preemptions = scheduled.preemptions;
  stats_.generated_tokens = scheduled.generated_tokens;
  stats_.prompt_tokens = scheduled.prompt_tokens;
  stats_.prefix_cache_queries = scheduled.prefix_queries;
  stats_.prefix_cache_hits = scheduled.prefix_hits;
  stats_.prefix_cache_evictions = scheduled.prefix_evictions;
  stats_.timeouts = scheduled.timeouts;
  stats_.cancellations = cancellations_done_;
  stats_.failure = failure_;
}

void Engine::emit_all(Emit which) {
  const double now_ms = clock_.now_ms();
  for (Emission& emission : emissions_) {
    emit(emission, which, now_ms);
    if (untold_.size() >= kToldTogether) tell_readers();
  }
  tell_readers();
}

void Engine::tell_readers() {
  for (const std::shared_ptr<RequestState>& state : untold_) state->tell();
  untold_.clear();
}

void Engine::emit(Emission& emission, Emit which, double now_ms) {
  if (emission.id == 0) return;
  const auto it = running_.find(emission.id);
  if (it == running_.end()) return;
  if (which == Emit::kWithStopStrings && !it->second.answer.has_stop_strings()) return;
  emission.id = 0;  // no sequence's: done
  RequestState& state = *it->second.state;
  if (emission.first_scheduled) {
    state.mark_scheduled(emission.first_scheduled_ms, emission.num_cached_tokens);
  }
  if (!emission.prompt_logprobs.empty()) {
    state.set_prompt_logprobs(std::move(emission.prompt_logprobs));
  }
  if (emission.token_ids.empty() && emission.finish_reason == FinishReason::kNone) return;
  OutputDelta delta = it->second.answer.consume(emission);
  if (delta.finish_reason == FinishReason::kNone) {
    if (state.push_untold(std::move(delta), now_ms)) untold_.push_back(it->second.state);
    return;
  }
  const bool stopped_by_text = emission.finish_reason == FinishReason::kNone;
  if (stopped_by_text) {
    scheduler_.cancel(it->first);
    publish_stats();
  }
  const std::shared_ptr<RequestState> kept = it->second.state;
  forget_sequence(it->first, state);
  if (kept->push_untold(std::move(delta), now_ms)) untold_.push_back(kept);
}

}  // namespace glmoe
