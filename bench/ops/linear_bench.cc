// Matrix products with GLM-4.5-Air's shapes and bfloat16 weights: decode as a share of the read
// bandwidth, prefill as a share of the multiply-add peak, both measured in the same run.
//   linear_bench [--threads N] [--tokens 1,2,4,8,512] [--dtype bfloat16|float32] [--repeat N]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "kernels/cpu/bandwidth/bandwidth.h"
#include "kernels/cpu/target.h"
#include "ops/linear.h"
#include "ops/moe.h"

namespace glmoe {
namespace {

struct Options {
  int threads = 0;
  std::vector<int64_t> tokens = {1, 2, 4, 8, 512};
  DType compute_dtype = DType::kBF16;
  int repeat = 5;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--threads") options.threads = std::atoi(value.c_str());
    if (name == "--repeat") options.repeat = std::atoi(value.c_str());
    if (name == "--dtype") parse_dtype(value, options.compute_dtype);
    if (name == "--tokens") {
      options.tokens.clear();
      std::stringstream list(value);
      for (std::string item; std::getline(list, item, ',');) {
        options.tokens.push_back(std::atoll(item.c_str()));
      }
    }
  }
  return options;
}

constexpr int64_t kWidth = 4096, kExpertHidden = 1408, kDenseHidden = 10944, kVocabulary = 151552;
// Fewer than the model's 128, to need 1.1 GB only; far more than the caches hold all the same.
constexpr int64_t kExperts = 32, kTopK = 8;

class Bench {
 public:
  Bench(const Options& options, ThreadTeam& team, double gb_per_s, double gflop_per_s)
      : options_(options),
        gb_per_s_(gb_per_s),
        gflop_per_s_(gflop_per_s),
        weights_(static_cast<size_t>(kVocabulary * kWidth) * 2),
        ctx_{.team = &team, .workspace = &workspace_, .compute_dtype = options.compute_dtype} {
    auto* codes = reinterpret_cast<uint16_t*>(weights_.data());
    team.parallel_for(static_cast<int64_t>(weights_.size() / 2), 1 << 20,
                      [&](int64_t begin, int64_t end, int) {
                        for (int64_t i = begin; i < end; ++i) {
                          const auto bits = static_cast<uint64_t>(i);
                          codes[i] = static_cast<uint16_t>(mix64(bits) & 0x81ff) | 0x3c00;
                        }
                      });
  }

  void linear_op(const char* name, int64_t num_tokens, int64_t n, int64_t k) {
    Buffer x = floats(num_tokens * k), out = floats(num_tokens * n);
    report(name, num_tokens, static_cast<double>(n * k) * 2,
           2.0 * static_cast<double>(num_tokens * n * k), [&] {
             const QuantView weight = view(cold(n * k), Shape{n, k});
             linear(ctx_, {x.data(), DType::kF32, Shape{num_tokens, k}}, weight, {},
                    {out.data(), DType::kF32, Shape{num_tokens, n}});
           });
  }

  void mlp_op(const char* name, int64_t num_tokens, int64_t hidden) {
    Buffer x = floats(num_tokens * kWidth), out = floats(num_tokens * kWidth);
    const auto numbers = static_cast<double>(3 * hidden * kWidth);
    const Shape shape{num_tokens, kWidth};
    report(name, num_tokens, numbers * 2, 2.0 * static_cast<double>(num_tokens) * numbers, [&] {
      const int64_t first = cold(3 * hidden * kWidth);
      const QuantView gate_up = view(first, Shape{2 * hidden, kWidth});
      const QuantView down = view(first + 2 * hidden * kWidth, Shape{kWidth, hidden});
      swiglu_mlp(ctx_, {x.data(), DType::kF32, shape}, gate_up, down,
                 {out.data(), DType::kF32, shape});
    });
  }

  void experts_op(int64_t num_tokens) {
    Buffer x = floats(num_tokens * kWidth), out = floats(num_tokens * kWidth);
    Buffer ids(static_cast<size_t>(num_tokens * kTopK) * 4), weights = floats(num_tokens * kTopK);
    const ExpertsView experts{
        view(0, Shape{kExperts, 2 * kExpertHidden, kWidth}),
        view(kExperts * 2 * kExpertHidden * kWidth, Shape{kExperts, kWidth, kExpertHidden})};
    const Routing routing{{ids.data(), DType::kI32, Shape{num_tokens, kTopK}},
                          {weights.data(), DType::kF32, Shape{num_tokens, kTopK}}};
    uint64_t call = 0;
    std::vector<bool> used(kExperts);
    // With 32 experts a token's 8 are a quarter: as many tokens as the model's 128 would see.
    const auto route = [&] {
      std::fill(used.begin(), used.end(), false);
      ++call;
      for (int64_t t = 0; t < num_tokens; ++t) {
        for (int64_t j = 0; j < kTopK; ++j) {
          const uint64_t random = random_bits(7, call, static_cast<uint64_t>(t * kTopK + j));
          const int64_t e = static_cast<int64_t>(random % (kExperts / kTopK)) * kTopK + j;
          reinterpret_cast<int32_t*>(ids.data())[t * kTopK + j] = static_cast<int32_t>(e);
          used[static_cast<size_t>(e)] = true;
        }
      }
    };
    route();
    const auto active = std::count(used.begin(), used.end(), true);
    const auto numbers = static_cast<double>(3 * kExpertHidden * kWidth);
    const Shape shape{num_tokens, kWidth};
    report("experts, 8 a token", num_tokens, static_cast<double>(active) * numbers * 2,
           2.0 * static_cast<double>(num_tokens * kTopK) * numbers, [&] {
             grouped_experts(ctx_, {x.data(), DType::kF32, shape}, routing, experts,
                             {out.data(), DType::kF32, shape});
           });
  }

 private:
  static Buffer floats(int64_t count) {
    Buffer buffer(static_cast<size_t>(count) * sizeof(float));
    for (int64_t i = 0; i < count; ++i) {
      reinterpret_cast<float*>(buffer.data())[i] =
          static_cast<float>(random_uniform(1, 2, static_cast<uint64_t>(i)) - 0.5);
    }
    return buffer;
  }
  // Where a weight of `count` numbers lies that no recent call has read: walking through the buffer
  // keeps the last-level cache from serving what a model's decode step reads from memory.
  int64_t cold(int64_t count) {
    if (next_ + count > kVocabulary * kWidth) next_ = 0;
    const int64_t first = next_;
    next_ += count;
    return first;
  }
  QuantView view(int64_t first, const Shape& shape) const {
    return {.codes = {weights_.data() + static_cast<size_t>(first) * 2, DType::kBF16, shape}};
  }
  template <class F>
  void report(const char* name, int64_t num_tokens, double bytes, double flops, const F& call) {
    const SteadyClock clock;
    double best = 1e30;
    for (int i = 0; i <= options_.repeat; ++i) {
      workspace_.reset();
      const double begin = clock.now_ms();
      call();
      best = std::min(best, clock.now_ms() - begin);
    }
    const double gb = bytes / best / 1e6, gflop = flops / best / 1e6;
    std::printf("%-22s %6ld %10.3f %8.1f %6.1f %9.1f %6.1f\n", name, static_cast<long>(num_tokens),
                best, gb, 100.0 * gb / gb_per_s_, gflop, 100.0 * gflop / gflop_per_s_);
    std::fflush(stdout);
  }

  Options options_;
  double gb_per_s_, gflop_per_s_;
  Buffer weights_;
  int64_t next_ = 0;
  Workspace workspace_;
  OpContext ctx_;
};

int run(int argc, char** argv) {
  const Options options = parse(argc, argv);
  ThreadTeam team(options.threads);
  const double gb_per_s = measure_read_bandwidth(team, size_t{2} << 30);
  const double gflop_per_s = measure_fma_peak(team);
  std::printf("%s, %d threads, read bandwidth %.1f GB/s, multiply-add peak %.1f GFLOP/s\n",
              cpu_target_name(), team.size(), gb_per_s, gflop_per_s);
  std::printf("%-22s %6s %10s %8s %6s %9s %6s\n", "shape", "tokens", "ms", "GB/s", "%", "GFLOP/s",
              "%");
  Bench bench(options, team, gb_per_s, gflop_per_s);
  for (const int64_t num_tokens : options.tokens) {
    bench.linear_op("qkv 14336x4096", num_tokens, 14336, kWidth);
    bench.linear_op("o 4096x12288", num_tokens, kWidth, 12288);
    bench.mlp_op("dense mlp 10944", num_tokens, kDenseHidden);
    bench.mlp_op("shared expert 1408", num_tokens, kExpertHidden);
    bench.experts_op(num_tokens);
    if (num_tokens <= 8) bench.linear_op("head 151552x4096", num_tokens, kVocabulary, kWidth);
  }
  return 0;
}

}  // namespace
}  // namespace glmoe

int main(int argc, char** argv) { return glmoe::run(argc, argv); }
