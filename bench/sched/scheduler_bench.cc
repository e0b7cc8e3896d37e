// What one step costs the host in the scheduler: plan and apply with so many running sequences, the
// answers ending and new ones coming in all the time, without any executor.
//   scheduler_bench [--benchmark_filter=...]
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <vector>

#include "base/rng.h"
#include "cache/block_manager.h"
#include "sched/scheduler.h"

namespace glmoe {
namespace {

constexpr int64_t kTokensPerBlock = 16;
constexpr int64_t kPrompt = 512, kOutput = 256;  // tokens; the output's mean

double now_us() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class Load {
 public:
  // Answers of 1 to 2 kOutput tokens, or where `output` > 0 of so many.
  Load(int64_t batch, bool reuse, int64_t prompt = kPrompt, int64_t output = 0)
      : prompt_(prompt),
        output_(output),
        blocks_(batch * blocks_of_one() + 64, kTokensPerBlock, reuse),
        scheduler_({.max_batch_size = batch, .max_num_tokens = batch + 8192}, blocks_, clock_),
        batch_(batch) {}

  void keep_full() {
    while (num_alive_ < batch_) {
      SequenceRequest request;
      request.id = ++last_id_;
      // With a fixed output all decode at once, and 1/16 of them begin a block in each step.
      const auto offset = static_cast<int64_t>(request.id) % kTokensPerBlock;
      const int64_t length = output_ > 0 ? prompt_ + offset : prompt_;
      for (int64_t i = 0; i < length; ++i) {
        const uint64_t bits = random_bits(request.id, 1, static_cast<uint64_t>(i));
        request.prompt_ids.push_back(static_cast<int32_t>(bits % 150000));
      }
      const uint64_t drawn = random_bits(request.id, 2, 0) % (2 * kOutput);
      request.max_tokens = output_ > 0 ? output_ : 1 + static_cast<int64_t>(drawn);
      request.end_token_ids = {151329, 151336, 151338};
      scheduler_.add(std::move(request));
      ++num_alive_;
    }
  }
  // Plans (`ahead`: with another plan out) and applies one step; the microseconds of both.
  double step(bool ahead) {
    const double begin = now_us();
    StepPlan& plan = plans_[made_ % 2];
    if (scheduler_.plan(plan)) ++made_;
    const double planned = now_us();
    if (ahead && made_ - applied_ < 2) return planned - begin;
    StepPlan& oldest = plans_[applied_++ % 2];
    answer(oldest);
    const double resumed = now_us();
    scheduler_.apply(result_, emissions_);
    const double end = now_us();
    for (const Emission& emission : emissions_) {
      num_alive_ -= emission.finish_reason != FinishReason::kNone ? 1 : 0;
    }
    rows_ += static_cast<int64_t>(oldest.sequences.size());
    return planned - begin + end - resumed;
  }
  bool is_full() const { return scheduler_.stats().num_running >= batch_ * 95 / 100; }
  int64_t rows() const { return rows_; }
  const Scheduler& scheduler() const { return scheduler_; }

 private:
  int64_t blocks_of_one() const {
    const int64_t output = output_ > 0 ? output_ + kTokensPerBlock : 2 * kOutput;
    return (prompt_ + output) / kTokensPerBlock + 2;
  }
  void answer(const StepPlan& plan) {
    result_.step_id = plan.step_id;
    result_.sequences.resize(plan.sequences.size());
    for (size_t i = 0; i < plan.sequences.size(); ++i) {
      result_.sequences[i].id = plan.sequences[i].id;
      result_.sequences[i].sampled = plan.sequences[i].sample;
      result_.sequences[i].token_id =
          static_cast<int32_t>(random_bits(plan.step_id, 3, i) % 150000);
    }
  }

  const int64_t prompt_, output_;
  SteadyClock clock_;
  BlockManager blocks_;
  Scheduler scheduler_;
  int64_t batch_;
  int64_t num_alive_ = 0, rows_ = 0;
  SequenceId last_id_ = 0;
  StepPlan plans_[2];
  uint64_t made_ = 0, applied_ = 0;
  StepResult result_;
  std::vector<Emission> emissions_;
};

void plan_and_apply(benchmark::State& state) {
  const int64_t batch = state.range(0);
  const bool reuse = state.range(1) != 0, ahead = state.range(2) != 0;
  Load load(batch, reuse);
  // Until the lengths are mixed as they are in service.
  for (int i = 0; i < 600; ++i) {
    load.keep_full();
    load.step(ahead);
  }
  const int64_t rows = load.rows();
  int64_t steps = 0;
  for (auto _ : state) {
    load.keep_full();
    state.SetIterationTime(load.step(ahead) * 1e-6);
    ++steps;
  }
  state.counters["rows"] = static_cast<double>(load.rows() - rows) / static_cast<double>(steps);
  state.counters["running"] = static_cast<double>(load.scheduler().stats().num_running);
}
BENCHMARK(plan_and_apply)
    ->ArgNames({"sequences", "reuse", "ahead"})
    ->Args({64, 1, 0})
    ->Args({1024, 1, 0})
    ->Args({4096, 0, 0})
    ->Args({4096, 1, 0})
    ->Args({4096, 1, 1})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

// Decode alone, as most steps of a loaded server are: nothing ends, nothing comes in, and a
// sixteenth of the sequences begins a block.
void decode_only(benchmark::State& state) {
  constexpr int64_t kShortPrompt = 64, kLongOutput = 1024;
  const int64_t batch = state.range(0);
  const bool reuse = state.range(1) != 0, ahead = state.range(2) != 0;
  Load load(batch, reuse, kShortPrompt, kLongOutput);
  load.keep_full();
  for (int i = 0; i < 128; ++i) load.step(ahead);  // all are prefilled, all memory is there
  const int64_t rows = load.rows();
  int64_t steps = 0;
  for (auto _ : state) {
    state.SetIterationTime(load.step(ahead) * 1e-6);
    ++steps;
  }
  if (load.rows() - rows != steps * batch) state.SkipWithError("not every sequence decoded");
  state.counters["rows"] = static_cast<double>(load.rows() - rows) / static_cast<double>(steps);
}
BENCHMARK(decode_only)
    ->ArgNames({"sequences", "reuse", "ahead"})
    ->ArgsProduct({{4096}, {0, 1}, {0, 1}})
    ->Iterations(800)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

// A prompt that is in the cache already: looked up, shared and given back.
void admit_known_prompt(benchmark::State& state) {
  const int64_t length = state.range(0);
  SteadyClock clock;
  BlockManager blocks(4 * length / kTokensPerBlock, kTokensPerBlock);
  Scheduler scheduler({.max_batch_size = 8, .max_num_tokens = 1 << 20}, blocks, clock);
  SequenceRequest request;
  for (int64_t i = 0; i < length; ++i) request.prompt_ids.push_back(static_cast<int32_t>(i));
  StepPlan plan;
  StepResult result;
  std::vector<Emission> emissions;
  for (auto _ : state) {
    ++request.id;
    scheduler.add(request);
    scheduler.plan(plan);
    result.step_id = plan.step_id;
    result.sequences.resize(1);
    result.sequences[0].id = request.id;
    result.sequences[0].sampled = true;
    scheduler.apply(result, emissions);
  }
  state.counters["cached"] = static_cast<double>(scheduler.stats().prefix_hits) /
                             static_cast<double>(scheduler.stats().prefix_queries);
}
BENCHMARK(admit_known_prompt)->Arg(1024)->Arg(131072)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace glmoe
