#include "llm/engine.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"

namespace glmoe {
namespace {

// No tokenizer packs more than this many bytes of text into one token on average; longer texts are
// refused before they are tokenised.
constexpr int64_t kMaxBytesPerToken = 64;

}  // namespace

Engine::Engine(const EngineOptions& options, std::unique_ptr<Executor> executor,
               std::shared_ptr<const Tokenizer> tokenizer)
    : options_(options),
      executor_(std::move(executor)),
      tokenizer_(std::move(tokenizer)),
      blocks_(options.num_blocks, options.tokens_per_block),
      scheduler_(options.scheduler, blocks_, clock_) {
  stats_.kv_blocks_total = options.num_blocks;
  stats_.kv_blocks_free = options.num_blocks;
  thread_ = std::thread([this] { loop(); });
}

Engine::~Engine() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_one();
  thread_.join();
}

std::vector<int32_t> Engine::prompt_ids(const Request& request) const {
  const Prompt& prompt = request.prompt;
  const int64_t max_seq_len = options_.scheduler.max_seq_len;
  if (!prompt.token_ids.empty()) {
    if (!prompt.text.empty()) {
      fail_argument("prompt: both text and token_ids were given; give one of them");
    }
    for (const int32_t id : prompt.token_ids) {
      if (id < 0 || id >= options_.vocab_size) {
        fail_argument("prompt token id {} is out of range: 0 to {} were wanted", id,
                      options_.vocab_size - 1);
      }
    }
    return prompt.token_ids;
  }
  if (prompt.text.empty()) fail_argument("the prompt is empty: at least one token is wanted");
  if (!tokenizer_) {
    fail_argument(
        "the prompt is text, but the model came without tokenizer.json: give token ids, "
        "or name a folder that has one with --tokenizer");
  }
  if (static_cast<int64_t>(prompt.text.size()) > max_seq_len * kMaxBytesPerToken) {
    fail_argument("the prompt has {} bytes, more than {} tokens of context can hold",
                  prompt.text.size(), max_seq_len);
  }
  return tokenizer_->encode(prompt.text);
}

std::shared_ptr<RequestState> Engine::submit(const Request& request) {
  const SamplingParams& sampling = request.sampling;
  std::vector<int32_t> ids = prompt_ids(request);
  const auto num_prompt = static_cast<int64_t>(ids.size());
  const int64_t room = options_.scheduler.max_seq_len - num_prompt;
  if (room < 1) {
    fail_argument(
        "the prompt has {} tokens, but the context holds {} and at least one must be "
        "left for the answer: shorten the prompt or raise --max_seq_len",
        num_prompt, options_.scheduler.max_seq_len);
  }
  uint64_t request_id = 0;
  {
    std::lock_guard lock(mutex_);
    if (stop_) fail(ErrorCode::kUnavailable, "the engine is shutting down");
    if (!stats_.failure.empty()) fail(ErrorCode::kUnavailable, "{}", stats_.failure);
    request_id = next_request_id_++;
  }
  SequenceRequest sequence;
  sequence.sampling = resolve_sampling(sampling, options_.sampling_defaults, options_.vocab_size,
                                       random_bits(options_.seed, 0, request_id));
  sequence.max_tokens = std::min(sampling.max_tokens, room);
  if (!sampling.ignore_eos) sequence.end_token_ids = options_.eos_token_ids;
  sequence.end_token_ids.insert(sequence.end_token_ids.end(), sampling.stop_token_ids.begin(),
                                sampling.stop_token_ids.end());
  sequence.sampling.stop_token_ids = sequence.end_token_ids;
  sequence.prompt_ids = ids;
  const int64_t blocks_wanted = blocks_.blocks_for(num_prompt + 1);
  if (blocks_wanted > options_.num_blocks) {
    fail_argument(
        "the prompt has {} tokens, but the KV cache holds {}: shorten it, or raise "
        "--kv_cache_tokens",
        num_prompt, options_.num_blocks * options_.tokens_per_block);
  }

  Submission submission;
  submission.submitted_ms = clock_.now_ms();
  submission.state =
      std::make_shared<RequestState>(request_id, request.prompt.text, std::move(ids), sampling.n);
  for (int64_t i = 0; i < sampling.n; ++i) {
    sequence.sampling.stream = static_cast<uint64_t>(i);
    submission.sequences.push_back(sequence);
    submission.answers.emplace_back(tokenizer_.get(), sampling, i);
    sequence.sampling.num_prompt_logprobs = -1;  // once a request is enough
  }
  std::shared_ptr<RequestState> state = submission.state;
  {
    std::lock_guard lock(mutex_);
    submissions_.push_back(std::move(submission));
  }
  work_.notify_one();
  return state;
}

void Engine::cancel(uint64_t request_id) {
  {
    std::lock_guard lock(mutex_);
    cancellations_.push_back(request_id);
  }
  work_.notify_one();
}

EngineStats Engine::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

void Engine::run_when_idle(const std::function<void(Executor&)>& task) {
  std::packaged_task<void()> packaged([&] { task(*executor_); });
  std::future<void> done = packaged.get_future();
  {
    std::lock_guard lock(mutex_);
    idle_tasks_.push_back(std::move(packaged));
  }
  work_.notify_one();
  done.get();
}

void Engine::run_between_steps(const std::function<void(Executor&, uint64_t)>& task) {
  std::packaged_task<void()> packaged([&] { task(*executor_, steps_); });
  std::future<void> done = packaged.get_future();
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(packaged));
  }
  work_.notify_one();
  done.get();
}

void Engine::loop() {
  while (take_work()) step();
  finish_all(FinishReason::kCancelled);
}

bool Engine::take_work() {
  std::vector<Submission> submissions;
  std::vector<uint64_t> cancellations;
  std::vector<std::packaged_task<void()>> tasks;
  {
    std::unique_lock lock(mutex_);
    work_.wait(lock, [this] {
      return stop_ || scheduler_.has_work() || !submissions_.empty() || !cancellations_.empty() ||
             !tasks_.empty() || !idle_tasks_.empty();
    });
    if (stop_) return false;
    submissions.swap(submissions_);
    cancellations.swap(cancellations_);
    tasks.swap(tasks_);
    if (submissions.empty() && !scheduler_.has_work()) {
      std::move(idle_tasks_.begin(), idle_tasks_.end(), std::back_inserter(tasks));
      idle_tasks_.clear();
    }
  }
  for (Submission& submission : submissions) admit(std::move(submission));
  for (const uint64_t id : cancellations) drop_request(id);
  for (auto& task : tasks) task();
  return true;
}

void Engine::admit(Submission submission) {
  for (size_t i = 0; i < submission.sequences.size(); ++i) {
    SequenceRequest& sequence = submission.sequences[i];
    sequence.id = next_sequence_id_++;
    running_.emplace(sequence.id, Running{submission.state, std::move(submission.answers[i]),
                                          submission.submitted_ms});
    scheduler_.add(std::move(sequence));
  }
}

void Engine::drop_request(uint64_t request_id) {
  for (auto it = running_.begin(); it != running_.end();) {
    if (it->second.state->id != request_id) {
      ++it;
      continue;
    }
    scheduler_.cancel(it->first);
    publish_stats();
    Emission cancelled;
    cancelled.finish_reason = FinishReason::kCancelled;
    it->second.state->push(it->second.answer.consume(cancelled));
    it = running_.erase(it);
  }
}

void Engine::finish_all(FinishReason reason) {
  Emission last;
  last.finish_reason = reason;
  for (auto& [id, running] : running_) running.state->push(running.answer.consume(last));
  running_.clear();
  std::lock_guard lock(mutex_);
  for (Submission& submission : submissions_) {
    for (AnswerState& answer : submission.answers) submission.state->push(answer.consume(last));
  }
  submissions_.clear();
}

void Engine::step() {
  const StepPlan plan = scheduler_.plan();
  if (plan.empty()) return;
  StepResult result;
  try {
    result = executor_->execute(plan);
  } catch (const std::exception& error) {
    // The step fails, the process does not: every sequence in it ends with the reason.
    log::error("step {} failed: {}", plan.step_id, error.what());
    result.step_id = plan.step_id;
    for (const SequenceStep& sequence : plan.sequences) {
      result.sequences.push_back({.id = sequence.id, .error = error.what()});
    }
  }
  std::vector<Emission> emissions = scheduler_.apply(std::move(result));
  ++steps_;
  publish_stats();  // before the callers hear of it: a finished request finds its blocks returned
  for (Emission& emission : emissions) emit(std::move(emission));
}

void Engine::publish_stats() {
  const SchedulerStats scheduled = scheduler_.stats();
  std::lock_guard lock(mutex_);
  stats_.steps = steps_;
  stats_.num_running = scheduled.num_running;
  stats_.num_waiting = scheduled.num_waiting;
  stats_.kv_blocks_free = blocks_.num_free();
  stats_.preemptions = scheduled.preemptions;
  stats_.generated_tokens = scheduled.generated_tokens;
  stats_.prompt_tokens = scheduled.prompt_tokens;
  stats_.failure = executor_->failure();
}

void Engine::emit(Emission emission) {
  const auto it = running_.find(emission.id);
  if (it == running_.end()) return;
  Running& running = it->second;
  const double elapsed_ms = clock_.now_ms() - running.submitted_ms;
  if (emission.first_scheduled) {
    running.state->mark_scheduled(emission.first_scheduled_ms - running.submitted_ms);
  }
  if (!emission.prompt_logprobs.empty()) {
    running.state->set_prompt_logprobs(std::move(emission.prompt_logprobs));
  }
  if (emission.token_ids.empty() && emission.finish_reason == FinishReason::kNone) return;
  running.state->mark_token(elapsed_ms);
  OutputDelta delta = running.answer.consume(emission);
  const bool finished = delta.finish_reason != FinishReason::kNone;
  const bool stopped_by_text = finished && emission.finish_reason == FinishReason::kNone;
  if (stopped_by_text) {
    scheduler_.cancel(emission.id);
    publish_stats();
  }
  std::shared_ptr<RequestState> state = running.state;
  if (finished) running_.erase(it);
  state->push(std::move(delta));
}

}  // namespace glmoe
