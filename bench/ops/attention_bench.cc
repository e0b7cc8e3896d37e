// Paged attention with GLM-4.5-Air's heads (96 query, 8 KV, 128 wide): decode in GB/s of cache
// read, prefill in GFLOP/s, both with the share of the multiply-add peak of the threads used.
#include <benchmark/benchmark.h>

#include <ctime>
#include <memory>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu/target.h"
#include "ops/attention.h"

namespace glmoe {
namespace {

constexpr AttentionShape kShape{96, 8, 128, 16};

// Multiply-add operations a second that one thread can do: two units of 8 lanes (16 with AVX-512)
// at the clock rate, which a chain of dependent additions shows, one a cycle. Processor time, not
// wall time, so that other work on the machine doesn't count.
double peak_flops() {
  static const double peak = [] {
    const bool wide = cpu_target() >= CpuTarget::kAvx512;
    const std::clock_t start = std::clock();
    uint64_t x = 1;
    constexpr int64_t kSteps = 200'000'000;
    for (int64_t i = 0; i < kSteps; ++i) {
      x += static_cast<uint64_t>(i) | 1;
      asm volatile("" : "+r"(x));
    }
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    return kSteps / seconds * (wide ? 64.0 : 32.0);
  }();
  return peak;
}

struct Problem {
  Problem(int64_t context, int64_t num_rows, int64_t num_sequences, int threads)
      : team(threads), rows(num_rows * num_sequences) {
    const int64_t pages = (context + kShape.tokens_per_block - 1) / kShape.tokens_per_block;
    const int64_t block = 2 * kShape.num_kv_heads * kShape.tokens_per_block * kShape.head_dim;
    blocks = Buffer(static_cast<size_t>(pages * num_sequences * block) * 2);
    auto* values = reinterpret_cast<uint16_t*>(blocks.data());
    for (int64_t i = 0; i < pages * num_sequences * block; ++i) {
      values[i] = f32_to_bf16(static_cast<float>(random_uniform(1, 0, static_cast<uint64_t>(i))));
    }
    kv.blocks = {
        .data = values, .dtype = DType::kBF16, .shape = Shape{pages * num_sequences, block}};
    qkv.resize(static_cast<size_t>(rows * (96 + 16) * 128));
    for (size_t i = 0; i < qkv.size(); ++i) {
      qkv[i] = static_cast<float>(random_uniform(2, 0, i)) - 0.5f;
    }
    out.resize(static_cast<size_t>(rows * 96 * 128));
    for (int64_t s = 0; s < num_sequences; ++s) {
      tables.emplace_back(static_cast<size_t>(pages));
      std::iota(tables.back().begin(), tables.back().end(), static_cast<int32_t>(s * pages));
    }
    for (int64_t s = 0; s < num_sequences; ++s) {
      sequences.push_back(
          {s * num_rows, num_rows, context - num_rows, tables[static_cast<size_t>(s)]});
    }
  }
  void run() {
    const OpContext ctx{.team = &team, .workspace = &workspace, .compute_dtype = DType::kBF16};
    paged_attention(ctx, {.data = qkv.data(), .shape = Shape{rows, (96 + 16) * 128}}, kShape,
                    sequences, kv, {.data = out.data(), .shape = Shape{rows, 96 * 128}});
    workspace.reset();
  }
  ThreadTeam team;
  int64_t rows;
  Buffer blocks;
  KvLayerView kv;
  Workspace workspace;
  std::vector<float> qkv, out;
  std::vector<std::vector<int32_t>> tables;
  std::vector<AttentionSequence> sequences;
};

void attention(benchmark::State& state) {
  const int64_t context = state.range(0), rows = state.range(1), sequences = state.range(2);
  const auto threads = static_cast<int>(state.range(3));
  Problem problem(context, rows, sequences, threads);
  for (auto _ : state) problem.run();
  // Row r sees context - rows + r + 1 keys; 2 products of 2 D flops a query head and key.
  const double keys = static_cast<double>(rows) * static_cast<double>(context - rows) +
                      0.5 * static_cast<double>(rows) * static_cast<double>(rows + 1);
  const double flops = 4.0 * 96 * 128 * keys * static_cast<double>(sequences);
  const double bytes = 2.0 * 2 * 8 * 128 * static_cast<double>(context * sequences);
  const auto rate = [&](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["kv_bytes/s"] = rate(bytes);
  state.counters["flop/s"] = rate(flops);
  state.counters["of_peak"] = rate(flops / (peak_flops() * threads));
}

BENCHMARK(attention)
    ->ArgNames({"context", "rows", "sequences", "threads"})
    ->Args({512, 1, 1, 1})
    ->Args({4096, 1, 1, 1})
    ->Args({4096, 1, 1, 2})
    ->Args({2048, 1, 16, 2})
    ->Args({512, 512, 1, 1})
    ->Args({512, 512, 1, 2})
    ->Args({8192, 512, 1, 2})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace glmoe
