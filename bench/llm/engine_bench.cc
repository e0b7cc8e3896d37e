// What the engine around the model costs, on an executor without a model: a step of so many
// answers, and the way of a request from submit to its first token beside a thousand open streams.
//   engine_bench [--benchmark_filter=...]        run it where models/ lies
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "llm/fake_llm.h"

namespace glmoe {
namespace {

double now_us() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

LLM fake(int64_t batch, double step_ms, bool ahead) {
  FakeLlmOptions options;
  options.folder = "models/glm4-moe-demo";
  options.step_ms = step_ms;
  options.llm.max_batch_size = batch;
  options.llm.max_queued_requests = 4096;
  options.llm.max_seq_len = 4096;
  options.llm.kv_cache.max_tokens = batch * 2048;
  options.llm.plan_ahead = ahead;
  return make_fake_llm(options);
}

Request request_of(int64_t i, int64_t max_tokens) {
  Request request;
  for (int64_t t = 0; t < 32; ++t) {
    request.prompt.token_ids.push_back(static_cast<int32_t>(100 + (i * 131 + t * 17) % 4000));
  }
  request.sampling.max_tokens = max_tokens;
  request.sampling.ignore_eos = true;
  return request;
}

// Plan, hand over, the fake's own work (some tens of nanoseconds a row), apply, detokenise,
// deliver.
void step_of_the_engine(benchmark::State& state) {
  const int64_t batch = state.range(0);
  LLM llm = fake(batch, 0.0, state.range(1) != 0);
  std::vector<double> times;
  for (auto _ : state) {
    constexpr int64_t kTokens = 1000;
    std::vector<ResponseStream> streams;
    for (int64_t i = 0; i < batch; ++i) streams.push_back(llm.submit(request_of(i, kTokens)));
    OutputDelta delta;
    for (int i = 0; i < 100; ++i) (void)streams.back().next(delta);
    const uint64_t steps = llm.stats().steps;
    const double begin = now_us();
    for (int i = 0; i < 700; ++i) (void)streams.back().next(delta);
    const double us = now_us() - begin;
    const auto count = static_cast<double>(llm.stats().steps - steps);
    state.SetIterationTime(us / count * 1e-6);
    for (ResponseStream& stream : streams) (void)stream.result();
  }
}
BENCHMARK(step_of_the_engine)
    ->ArgNames({"sequences", "ahead"})
    ->Args({1, 0})
    ->Args({64, 0})
    ->Args({64, 1})
    ->Args({1024, 0})
    ->UseManualTime()
    ->Iterations(20)
    ->Unit(benchmark::kMicrosecond);

// Steps of 5 ms; the newcomer waits for the one that runs, then for its own.
void first_token_beside_open_streams(benchmark::State& state) {
  constexpr double kStepMs = 5.0;
  const int64_t open = state.range(0);
  LLM llm = fake(open + 8, kStepMs, state.range(1) != 0);
  std::vector<ResponseStream> streams;
  for (int64_t i = 0; i < open; ++i) streams.push_back(llm.submit(request_of(i, 1 << 20)));
  OutputDelta delta;
  for (ResponseStream& stream : streams) (void)stream.next(delta);
  std::vector<double> times;
  int64_t next = open;
  for (auto _ : state) {
    const double begin = now_us();
    ResponseStream stream = llm.submit(request_of(++next, 1));
    (void)stream.next(delta);
    times.push_back(now_us() - begin);
    state.SetIterationTime(times.back() * 1e-6);
    for (ResponseStream& other : streams) {
      while (other.try_next(delta)) {
      }
    }
  }
  std::ranges::sort(times);
  state.counters["p50_ms"] = times[times.size() / 2] * 1e-3;
  state.counters["p99_ms"] = times[times.size() * 99 / 100] * 1e-3;
}
BENCHMARK(first_token_beside_open_streams)
    ->ArgNames({"open", "ahead"})
    ->Args({0, 0})
    ->Args({1000, 0})
    ->Args({1000, 1})
    ->UseManualTime()
    ->Iterations(100)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace glmoe
