// The callers' side of the engine: requests are checked, tokenised and queued on their threads.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/rng.h"
#include "llm/engine.h"

namespace glmoe {
namespace {

// No tokenizer packs more than this many bytes of text into one token on average; longer texts are
// refused before they are tokenised.
constexpr int64_t kMaxBytesPerToken = 64;
constexpr size_t kMaxSaltBytes = 1024;

void check_request(const Request& request) {
  if (!std::isfinite(request.timeout_ms) || request.timeout_ms < 0) {
    fail_argument(
        "timeout_ms: a finite number of milliseconds from 0 (none) on was wanted, found {}",
        request.timeout_ms);
  }
  if (request.cache_salt.size() > kMaxSaltBytes) {
    fail_argument("cache_salt: at most {} bytes are allowed, found {}", kMaxSaltBytes,
                  request.cache_salt.size());
  }
}

}  // namespace

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

SequenceRequest Engine::make_sequence(const Request& request, std::vector<int32_t> ids,
                                      uint64_t request_id, double submitted_ms) const {
  const SamplingParams& sampling = request.sampling;
  const auto num_prompt = static_cast<int64_t>(ids.size());
  SequenceRequest sequence;
  sequence.sampling = resolve_sampling(sampling, options_.sampling_defaults, options_.vocab_size,
                                       random_bits(options_.seed, 0, request_id));
  sequence.max_tokens = std::min(sampling.max_tokens, options_.scheduler.max_seq_len - num_prompt);
  if (!sampling.ignore_eos) sequence.end_token_ids = options_.eos_token_ids;
  sequence.end_token_ids.insert(sequence.end_token_ids.end(), sampling.stop_token_ids.begin(),
                                sampling.stop_token_ids.end());
  sequence.sampling.stop_token_ids = sequence.end_token_ids;
  sequence.prompt_ids = std::move(ids);
  sequence.priority = request.priority;
  if (request.timeout_ms > 0) sequence.deadline_ms = submitted_ms + request.timeout_ms;
  sequence.cache_salt = request.cache_salt;
  return sequence;
}

uint64_t Engine::take_request_id() {
  std::lock_guard lock(mutex_);
  if (!stats_.failure.empty()) fail(ErrorCode::kUnavailable, "{}", stats_.failure);
  if (stop_) fail(ErrorCode::kUnavailable, "the engine is shutting down");
  return next_request_id_++;
}

Engine::Submission Engine::make_submission(const Request& request) {
  const double submitted_ms = clock_.now_ms();
  check_request(request);
  std::vector<int32_t> ids = prompt_ids(request);
  const auto num_prompt = static_cast<int64_t>(ids.size());
  if (options_.scheduler.max_seq_len - num_prompt < 1) {
    fail_argument(
        "the prompt has {} tokens, but the context holds {} and at least one must be "
        "left for the answer: shorten the prompt or raise --max_seq_len",
        num_prompt, options_.scheduler.max_seq_len);
  }
  if (blocks_.blocks_for(num_prompt + 1) > options_.num_blocks) {
    fail_argument(
        "the prompt has {} tokens, but the KV cache holds {}: shorten it, or raise "
        "--kv_cache_tokens",
        num_prompt, options_.num_blocks * options_.tokens_per_block);
  }
  const uint64_t request_id = take_request_id();
  SequenceRequest sequence = make_sequence(request, ids, request_id, submitted_ms);
  const SamplingParams& sampling = request.sampling;
  Submission submission;
  submission.state = std::make_shared<RequestState>(request_id, request.prompt.text, std::move(ids),
                                                    sampling.n, submitted_ms);
  for (int64_t i = 0; i < sampling.n; ++i) {
    sequence.sampling.stream = static_cast<uint64_t>(i);
    submission.sequences.push_back(sequence);
    submission.answers.emplace_back(tokenizer_.get(), sampling, i);
    sequence.sampling.num_prompt_logprobs = -1;  // once a request is enough
  }
  return submission;
}

std::shared_ptr<RequestState> Engine::submit(const Request& request) {
  Submission submission = make_submission(request);
  std::shared_ptr<RequestState> state = submission.state;
  enqueue({&submission, 1}, QueueLimit::kApplies);
  return state;
}

std::vector<std::shared_ptr<RequestState>> Engine::submit_all(std::span<const Request> requests) {
  std::vector<Submission> submissions;
  std::vector<std::shared_ptr<RequestState>> states;
  for (size_t i = 0; i < requests.size(); ++i) {
    try {
      submissions.push_back(make_submission(requests[i]));
    } catch (const Error& error) {
      if (requests.size() == 1) throw;
      throw Error(error.code(), fmt::format("prompt {}: {}", i, error.what()));
    }
    states.push_back(submissions.back().state);
  }
  enqueue(submissions, QueueLimit::kIgnored);
  return states;
}

void Engine::enqueue(std::span<Submission> submissions, QueueLimit limit) {
  {
    std::lock_guard lock(mutex_);
    if (stop_) fail(ErrorCode::kUnavailable, "the engine is shutting down");
    if (limit == QueueLimit::kApplies && num_queued_ >= options_.max_queued_requests) {
      fail(ErrorCode::kUnavailable,
           "the queue is full: {} requests wait already, at most {} may (--max_queued_requests); "
           "try again later",
           num_queued_, options_.max_queued_requests);
    }
    num_queued_ += static_cast<int64_t>(submissions.size());
    std::ranges::move(submissions, std::back_inserter(submissions_));
  }
  wake_.notify_one();
}

void Engine::cancel(uint64_t request_id) {
  {
    std::lock_guard lock(mutex_);
    if (stop_) return;
    cancellations_.push_back(request_id);
  }
  wake_.notify_one();
}

EngineStats Engine::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

void Engine::run_task(Tasks& queue, std::packaged_task<void()> task) {
  std::future<void> done = task.get_future();
  {
    std::lock_guard lock(mutex_);
    if (stop_) fail(ErrorCode::kUnavailable, "the engine is shutting down");
    queue.push_back(std::move(task));
  }
  wake_.notify_one();
  try {
    done.get();
  } catch (const std::future_error&) {  // dropped with the engine
    fail(ErrorCode::kUnavailable, "the engine is shutting down");
  }
}

void Engine::run_between_steps(const std::function<void(Executor&, uint64_t)>& task) {
  run_task(tasks_, std::packaged_task<void()>([&] { task(*executor_, steps_); }));
}

void Engine::run_when_idle(const std::function<void(Executor&)>& task) {
  run_task(idle_tasks_, std::packaged_task<void()>([&] {
             scheduler_.forget_prefixes();
             task(*executor_);
           }));
}

}  // namespace glmoe
