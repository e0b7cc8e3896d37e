// The engine loop: takes requests, plans, hands steps to the runner, applies their results, emits.
// One thread owns scheduler and block manager, another (exec/step_runner.h) the executor while a
// step is under way; everybody else talks to the first through small queues.
//
// While a step runs, this thread delivers the tokens of the one before and takes in new requests.
// With plan_ahead the next step is planned and queued too, before the tokens of the running one are
// known; requests that come meanwhile still get into it as long as it has not begun.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "cache/block_manager.h"
#include "exec/executor.h"
#include "exec/step_runner.h"
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
  bool enable_block_reuse = true;
  bool plan_ahead = false;
  int64_t max_queued_requests = 1024;
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
  ~Engine();  // as shutdown()

  // Checks the request and queues it. Throws kInvalidArgument before anything runs, kUnavailable
  // where the queue is full or the engine can't go on.
  std::shared_ptr<RequestState> submit(const Request& request);
  // As submit() for requests whose caller waits: all are checked before the first is queued, and
  // the queue is never too full for them. An error names the prompt where there are several.
  std::vector<std::shared_ptr<RequestState>> submit_all(std::span<const Request> requests);
  void cancel(uint64_t request_id);
  EngineStats stats() const;
  // Cancels everything, waits for the step that runs and lets the executor go. Streams stay
  // readable; whatever else is asked for is refused with kUnavailable. Once is enough.
  void shutdown();

  // Runs `task` on the engine's thread between two steps, whatever is in flight; waits for it. The
  // number is that of the steps run so far.
  void run_between_steps(const std::function<void(Executor&, uint64_t)>& task);
  // Runs `task` on the engine's thread while no request is in flight; waits for both. The task may
  // write to any block: known prefixes are forgotten.
  void run_when_idle(const std::function<void(Executor&)>& task);

 private:
  struct Submission {
    std::shared_ptr<RequestState> state;
    std::vector<SequenceRequest> sequences;
    std::vector<AnswerState> answers;
  };
  struct Running {
    std::shared_ptr<RequestState> state;
    AnswerState answer;
  };
  enum class QueueLimit { kApplies, kIgnored };
  enum class Emit { kAll, kWithStopStrings };
  using Tasks = std::vector<std::packaged_task<void()>>;

  // On callers' threads.
  std::vector<int32_t> prompt_ids(const Request& request) const;
  SequenceRequest make_sequence(const Request& request, std::vector<int32_t> ids,
                                uint64_t request_id, double submitted_ms) const;
  uint64_t take_request_id();
  Submission make_submission(const Request& request);
  void enqueue(std::span<Submission> submissions, QueueLimit limit);
  void run_task(Tasks& queue, std::packaged_task<void()> task);

  // On the engine's thread.
  void loop();
  void serve(StepRunner& runner);
  bool wait_for_work();  // false: shut down
  void take_work(StepRunner& runner);
  void admit(Submission submission);
  void drop_request(uint64_t request_id);
  void expire();
  bool take_outcome(StepRunner& runner);
  void fill_pipeline(StepRunner& runner);
  void note_started(const StepPlan& plan, size_t first);
  void emit_all(Emit which);
  void emit(Emission& emission, Emit which, double now_ms);
  void tell_readers();
  void finish_answer(SequenceId id, const Emission& last);
  void forget_sequence(SequenceId id, RequestState& state);
  void finish_all(FinishReason reason, const std::string& error);
  void publish_stats();

  EngineOptions options_;
  std::unique_ptr<Executor> executor_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  SteadyClock clock_;
  BlockManager blocks_;
  Scheduler scheduler_;
  std::unordered_map<SequenceId, Running> running_;
  std::unordered_map<uint64_t, std::vector<SequenceId>> requests_;  // -> its running sequences
  SequenceId next_sequence_id_ = 1;
  std::array<StepPlan, Scheduler::kMaxPlansOut> plans_;  // in turn
  uint64_t plans_made_ = 0;
  uint64_t steps_ = 0;
  uint64_t cancellations_done_ = 0;
  StepOutcome outcome_;
  std::vector<Emission> emissions_, timeouts_;
  std::vector<std::shared_ptr<RequestState>> untold_;  // got deltas in this round of emissions
  std::vector<Submission> new_submissions_;
  std::vector<uint64_t> new_cancellations_;
  Tasks new_tasks_;
  std::string failure_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Submission> submissions_;
  std::vector<uint64_t> cancellations_;
  Tasks tasks_, idle_tasks_;
  int64_t num_queued_ = 0;  // requests of which nothing has been scheduled
  int outcomes_ready_ = 0;
  uint64_t next_request_id_ = 1;
  bool stop_ = false;
  EngineStats stats_;

  std::mutex shutdown_mutex_;
  std::thread thread_;
};

}  // namespace glmoe
