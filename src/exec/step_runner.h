// Runs step plans on a thread of their own, one after the other, so that the host plans the next
// step and delivers the last one's tokens meanwhile. A plan may be handed in before the tokens that
// it continues are known: they are filled in here, between the two steps.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "exec/executor.h"
#include "step/step.h"

namespace glmoe {

// What became of one step. `result` answers every sequence of the plan in its order, with an error
// where the step failed.
struct StepOutcome {
  StepResult result;
  std::string error;    // not empty: the step as a whole failed
  std::string failure;  // not empty: no further step can run (Executor::failure)
};

class StepRunner {
 public:
  // `done` is called on the runner's thread after every step; it must not call the runner. The
  // executor outlives the runner and is used by nobody else while a step is under way.
  StepRunner(Executor& executor, std::function<void()> done);
  ~StepRunner();  // waits for the step that runs; the others are dropped

  StepRunner(const StepRunner&) = delete;
  StepRunner& operator=(const StepRunner&) = delete;

  // Queues a plan, which stays where it is and unchanged by the caller until its outcome is taken.
  void submit(StepPlan& plan);
  // Takes the plan submitted last back, if it has not begun. True: it has to be submitted again.
  bool withdraw(const StepPlan& plan);
  // The outcome of the oldest plan, if it has come. Does not wait.
  bool try_take(StepOutcome& outcome);
  // Waits until no step is under way and none is queued. Outcomes stay.
  void wait_idle();

 private:
  void loop();
  void run(StepPlan& plan, StepOutcome& outcome);
  bool fill_in_tokens(StepPlan& plan);
  void execute_without_orphans(const StepPlan& plan, StepOutcome& outcome);
  void remember_tokens(const StepResult& result);
  // -1: the last step sampled none for it. `hint`: where it probably is; moves on.
  int32_t last_token(SequenceId id, size_t& hint);

  Executor& executor_;
  const std::function<void()> done_;
  // Of the step that ran last: what it sampled, in its order, and the places by id once the next
  // plan turned out to have another order. On the runner's thread alone.
  std::vector<std::pair<SequenceId, int32_t>> last_tokens_;
  std::unordered_map<SequenceId, int32_t> last_tokens_by_id_;

  std::mutex mutex_;
  std::condition_variable work_, idle_;
  std::deque<StepPlan*> plans_;
  std::deque<StepOutcome> outcomes_;
  bool running_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace glmoe
