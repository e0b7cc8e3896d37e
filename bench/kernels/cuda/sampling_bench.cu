// Embedding and sampling on a GPU: time, GB/s and the share of what the memory can read, measured
// in the same run. Bytes are counted from the shapes: logits read once.
#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/embedding/embedding.h"
#include "kernels/cuda/sample/argmax.h"
#include "kernels/cuda/sample/sample.h"
#include "timing.h"

namespace glmoe::cuda {
namespace {

constexpr int kVocab = 151552;
constexpr int kTokens = 151365;
constexpr int kMaxRows = 256;

// How sure the rows are of their token: "flat" has a quarter of the probability on one, the rest on
// thousands; "peaked", as most of a model's rows, nearly all of it on two.
enum class Shape { kFlat, kPeaked };

// Normal numbers; every row the same ones shifted, so that making them does not take longer than
// measuring.
std::vector<float> make_logits(Shape shape) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 2.5f);
  std::vector<float> numbers(kVocab * 2);
  for (float& number : numbers) number = normal(random);
  std::vector<float> logits(static_cast<size_t>(kMaxRows) * kVocab);
  for (size_t r = 0; r < kMaxRows; ++r) {
    float* row = &logits[r * kVocab];
    std::copy_n(numbers.begin() + static_cast<std::ptrdiff_t>(r * 577), kVocab, row);
    row[(r * 7919) % kTokens] = shape == Shape::kFlat ? 14.0f : 22.0f;
    row[(r * 4513 + 1) % kTokens] = shape == Shape::kFlat ? 9.0f : 20.0f;
  }
  return logits;
}

struct Setting {
  const char* name;
  SampleRow row;
  bool penalties = false;
};

std::vector<Setting> settings() {
  std::vector<Setting> all{{"greedy", {}}, {"temperature 1", {.temperature = 1.0f}}};
  all.push_back({"top_p 0.95", {.temperature = 1.0f, .top_p = 0.95f}});
  all.push_back({"T 0.6 top_p 0.95", {.temperature = 0.6f, .top_p = 0.95f}});
  all.push_back({"top_k 40", {.temperature = 1.0f, .top_k = 40}});
  SampleRow every{.temperature = 1.0f, .top_p = 0.95f, .log_min_p = std::log(0.01f), .top_k = 200};
  all.push_back({"k 200 p .95 min_p", every});
  every.repetition_penalty = 1.1f;
  every.num_logprobs = 20;
  all.push_back({"+ penalty, 20 logprobs", every, true});
  all.push_back({"greedy, 20 logprobs", {.num_logprobs = 20}});
  all.push_back({"T 100 top_p 0.5", {.temperature = 100.0f, .top_p = 0.5f}});
  return all;
}

class Bench {
 public:
  explicit Bench(cudaStream_t stream) : stream_(stream) {
    GLMOE_CUDA(cudaMemset(counts_.data(), 0, counts_.num_bytes()));
  }

  void run(const GpuInfo& gpu) {
    rate_ = read_bandwidth(gpu, stream_);
    std::printf("a plain kernel reads 4 GiB at %.0f GB/s (100%%)\n", rate_);
    greedy();
    sampled(peaked_.data(), "peaked");
    sampled(logits_.data(), "flat");
    embedding();
  }

 private:
  void print(const std::string& name, int rows, double bytes, double us) const {
    const double rate = bytes / us * 1e-3;
    std::printf("%-32s %5d %9.2f us %6.0f GB/s %6.1f%%\n", name.c_str(), rows, us, rate,
                100.0 * rate / rate_);
  }
  static double row_bytes(int rows) { return 4.0 * kTokens * rows; }

  void greedy() {
    for (const int rows : {1, 4, 16, 32, 64, 128, 256}) {
      const ArgmaxConfig chosen = argmax_config(rows);
      for (const ArgmaxConfig& config : {ArgmaxConfig{8, 512}, ArgmaxConfig{4, 512},
                                         ArgmaxConfig{2, 512}, ArgmaxConfig{1, 1024}}) {
        const ArgmaxParams params{.logits = logits_.data(),
                                  .row_stride = kVocab,
                                  .num_rows = rows,
                                  .num_tokens = kTokens,
                                  .outcomes = outcomes_.data()};
        const double us = median_us(stream_, [&](int) { launch_argmax(params, config, stream_); });
        const bool mark = config.blocks == chosen.blocks && config.threads == chosen.threads;
        print("argmax " + std::to_string(config.blocks) + " x " + std::to_string(config.threads) +
                  (mark ? "*" : ""),
              rows, row_bytes(rows), us);
      }
    }
  }

  void sampled(const float* logits, const std::string& shape) {
    for (const Setting& setting : settings()) {
      for (const int rows : {1, 16, 64, 256}) {
        // Every replay of the launch draws the same tokens, but from rows that differ.
        std::vector<SampleRow> host(kMaxRows, setting.row);
        for (size_t r = 0; r < host.size(); ++r) {
          host[r].seed = r;
          if (setting.penalties) host[r].count_slot = static_cast<int32_t>(r % kSlots);
        }
        if (setting.penalties && rows > kSlots) continue;
        rows_.upload(host);
        const SampleParams params{.logits = logits,
                                  .row_stride = kVocab,
                                  .num_rows = rows,
                                  .vocab_size = kVocab,
                                  .num_tokens = kTokens,
                                  .rows = rows_.data(),
                                  .counts = counts_.data(),
                                  .count_stride = kVocab,
                                  .outcomes = outcomes_.data(),
                                  .logprobs = logprobs_.data()};
        const double us = median_us(stream_, [&](int) { launch_sample(params, stream_); });
        print(shape + ", " + setting.name, rows, row_bytes(rows) * (setting.penalties ? 2 : 1), us);
      }
    }
  }

  void embedding() {
    constexpr int kWidth = 5120;
    constexpr int kMaxTokens = 8192;
    const DeviceArray<__nv_bfloat16> table(size_t{kVocab} * kWidth);
    GLMOE_CUDA(cudaMemset(table.data(), 0x3c, table.num_bytes()));
    const DeviceArray<float> out(size_t{kMaxTokens} * kWidth);
    std::vector<int32_t> host_ids(kMaxTokens);
    std::mt19937 random(1);
    for (int32_t& id : host_ids) id = static_cast<int32_t>(random() % kVocab);
    const DeviceArray<int32_t> ids(host_ids);
    for (const int tokens : {1, 16, 64, 256, 1024, 8192}) {
      const EmbeddingParams params{.token_ids = ids.data(),
                                   .table = table.data(),
                                   .out = out.data(),
                                   .num_tokens = tokens,
                                   .hidden_size = kWidth,
                                   .vocab_size = kVocab};
      const double us = median_us(stream_, [&](int) { launch_embedding(params, stream_); });
      print("embedding 5120 bf16", tokens, 6.0 * kWidth * tokens, us);
    }
  }

  static constexpr int kSlots = 64;
  cudaStream_t stream_;
  double rate_ = 1.0;
  DeviceArray<float> logits_{make_logits(Shape::kFlat)};
  DeviceArray<float> peaked_{make_logits(Shape::kPeaked)};
  DeviceArray<SampleRow> rows_{kMaxRows};
  DeviceArray<uint32_t> counts_{size_t{kSlots} * kVocab};
  DeviceArray<SampleOutcome> outcomes_{kMaxRows};
  DeviceArray<SampleLogprob> logprobs_{size_t{kMaxRows} * (kMaxLogprobs + 1)};
};

void run(const GpuInfo& gpu, cudaStream_t stream) {
  std::printf("%s\n", gpu.name.c_str());
  Bench(stream).run(gpu);
}

}  // namespace
}  // namespace glmoe::cuda

int main() { return glmoe::cuda::bench_main(glmoe::cuda::run); }
