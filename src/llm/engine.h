// The engine loop: takes requests, plans, executes, applies, emits. One thread owns scheduler,
// block manager and executor; everybody else talks to it through two small queues.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "cache/block_manager.h"
#include "exec/executor.h"
#include "glmoe/llm.h"
#include "llm/request_state.h"
#include "sched/scheduler.h"
#include "step/sampling_resolve.h"
#include "text/tokenizer.h"

namespace glmoe {

struct EngineOptions {
  SchedulerConfig scheduler;
  int64_t num_blocks = 0;
  int64_t tokens_per_block = 16;
  int64_t vocab_size = 0;
  SamplingDefaults sampling_defaults;
  std::vector<int32_t> eos_token_ids;
  uint64_t seed = 0;
};

class Engine {
 public:
  // `tokenizer` may be null: then prompts are token ids and outputs have no text.
  Engine(const EngineOptions& options, std::unique_ptr<Executor> executor,
         std::shared_ptr<const Tokenizer> tokenizer);
  ~Engine();  // cancels everything and joins

  // Checks the request and queues it. Throws kInvalidArgument before anything runs.
  std::shared_ptr<RequestState> submit(const Request& request);
  void cancel(uint64_t request_id);
  EngineStats stats() const;

  // Runs `task` on the engine's thread between two steps, whatever is in flight; waits for it. The
  // number is that of the steps run so far.
  void run_between_steps(const std::function<void(Executor&, uint64_t)>& task);
  // Runs `task` on the engine's thread while no request is in flight; waits for both.
  void run_when_idle(const std::function<void(Executor&)>& task);

 private:
  struct Submission {
    std::shared_ptr<RequestState> state;
    std::vector<SequenceRequest> sequences;
    std::vector<AnswerState> answers;
    double submitted_ms = 0.0;
  };
  struct Running {
    std::shared_ptr<RequestState> state;
    AnswerState answer;
    double submitted_ms;
  };

  void loop();
  bool take_work();  // false: shut down
  void step();
  void publish_stats();
  void emit(Emission emission);
  void admit(Submission submission);
  void drop_request(uint64_t request_id);
  void finish_all(FinishReason reason);
  std::vector<int32_t> prompt_ids(const Request& request) const;

  EngineOptions options_;
  std::unique_ptr<Executor> executor_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  SteadyClock clock_;
  BlockManager blocks_;
  Scheduler scheduler_;
  std::unordered_map<SequenceId, Running> running_;
  SequenceId next_sequence_id_ = 1;
  uint64_t steps_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::vector<Submission> submissions_;
  std::vector<uint64_t> cancellations_;
  std::vector<std::packaged_task<void()>> tasks_, idle_tasks_;
  uint64_t next_request_id_ = 1;
  bool stop_ = false;
  EngineStats stats_;

  std::thread thread_;
};

}  // namespace glmoe
