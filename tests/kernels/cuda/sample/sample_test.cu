// Mirrors: src/kernels/cuda/sample/sample.cu, src/kernels/cuda/sample/select.cuh,
// src/kernels/cuda/sample/draw.cuh, src/kernels/cuda/sample/row_logprobs.cuh,
// src/kernels/cuda/sample/row_slice.cuh, src/kernels/cuda/sample/token_order.cuh
#include "kernels/cuda/sample/sample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "harness.h"
#include "sample/cases.h"
#include "sample/sample_batch.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;
using cuda_test::SampleBatch;
using cuda_test::TestRow;
using testing::HostSampling;
using testing::kNumLogitKinds;
using testing::make_logits;
using testing::make_sampling;

constexpr size_t kVocab = 151552;
constexpr int kTokens = 151365;

std::vector<TestRow> random_rows(size_t num_rows, size_t vocab_size, size_t num_tokens,
                                 uint32_t seed) {
  std::vector<TestRow> rows;
  for (uint32_t r = 0; r < num_rows; ++r) {
    const uint32_t own = seed + r;
    rows.push_back({make_logits(static_cast<int>(own) % kNumLogitKinds, own, vocab_size),
                    make_sampling<HostSampling>(own * 31, num_tokens)});
  }
  return rows;
}

CUDA_TEST(SampledTokensAreTheHostsForAnyParameters) {
  uint32_t seed = 1;
  for (const size_t size : {1, 3, 256, 257, 1000, 2049, 5000, 33333}) {
    const size_t num_tokens = size - size / 9;
    for (int i = 0; i < 4; ++i, seed += 63) {
      if (cuda_test::leaves_out(63.0 * static_cast<double>(size))) continue;
      SampleBatch batch(random_rows(63, size, num_tokens, seed), static_cast<int>(num_tokens));
      batch.check("V " + std::to_string(size) + ", seed " + std::to_string(seed));
    }
  }
}

CUDA_TEST(SampledTokensAreTheHostsOfAWholeVocabulary) {
  for (uint32_t seed = 1000; seed < 1003; ++seed) {
    const size_t num_rows = cuda_test::leaves_out(45.0 * kVocab) ? 9 : 45;
    SampleBatch batch(random_rows(num_rows, kVocab, kTokens, seed * 45), kTokens);
    batch.check("V " + std::to_string(kVocab) + ", seed " + std::to_string(seed));
  }
}

CUDA_TEST(TheLargestVocabularyIsSampled) {
  if (cuda_test::leaves_out(9.0 * kMaxSampleVocab)) return;
  SampleBatch batch(random_rows(9, kMaxSampleVocab, kMaxSampleVocab, 5), kMaxSampleVocab);
  batch.check("V " + std::to_string(kMaxSampleVocab));
}

// One row many times: the share of every token in many draws would hide a wrong order of sums, the
// tokens of all draws do not.
CUDA_TEST(EveryPositionOfAStreamDrawsTheHostsToken) {
  std::vector<TestRow> rows;
  const std::vector<float> logits = make_logits(0, 3, 20000);
  const size_t num_positions = cuda_test::leaves_out(200.0 * 20000) ? 40 : 200;
  for (size_t position = 0; position < num_positions; ++position) {
    rows.push_back({logits, {.temperature = 0.8f, .seed = 7, .stream = 1}});
    rows.back().sampling.output.assign(position, 1);
    if (position % 2 == 1) rows.back().sampling.top_p = 0.9f;
  }
  SampleBatch(std::move(rows), 20000).check("one stream");
}

CUDA_TEST(RowsWithoutATokenSaySoAndLeaveTheirNeighboursAlone) {
  std::vector<TestRow> rows;
  for (const float temperature : {0.0f, 1.0f}) {
    for (int what = 0; what < 7; ++what) {
      TestRow row{make_logits(0, static_cast<uint32_t>(what), 9000),
                  {.temperature = temperature, .top_p = 0.9f}};
      if (what % 2 == 1) row.sampling.num_logprobs = 20;
      std::vector<float>& l = row.logits;
      if (what == 1) l[4567] = l[8000] = NAN;
      if (what == 2) l.assign(9000, -INFINITY);
      if (what == 3) l[8999] = l[100] = l[5000] = INFINITY;
      if (what == 4) l[8999] = NAN;
      if (what == 5) l.assign(9000, -INFINITY), l[77] = -3.0f;
      if (what == 6) l.assign(9000, -INFINITY), l[0] = INFINITY, l[8998] = NAN;
      rows.push_back(row);
      row.sampling.repetition_penalty = 1.25f;  // the same off the plain greedy way
      row.sampling.output = {100, 77};
      rows.push_back(row);
    }
  }
  SampleBatch(std::move(rows), 9000).check("failing rows");
}

CUDA_TEST(GivenTokensGetTheirLogprobsOverTheWholeVocabulary) {
  std::vector<TestRow> rows;
  for (uint32_t seed = 0; seed < 36; ++seed) {
    TestRow row{make_logits(static_cast<int>(seed) % kNumLogitKinds, seed, 5000),
                make_sampling<HostSampling>(seed, 4000)};
    row.sampling.num_logprobs = seed % 21;
    row.given_token = static_cast<int32_t>((seed * 997) % 5000);
    if (seed == 20) row.logits[4999] = NAN;
    if (seed == 21) row.logits[4998] = INFINITY;
    rows.push_back(std::move(row));
  }
  SampleBatch(std::move(rows), 4000).check("given tokens");
}

// Logits whose weights add up to just below `total`, each as large as what is left allows.
std::vector<float> logits_of_weight(double total, int count) {
  std::vector<float> logits;
  for (int i = 0; i < count; ++i) {
    float logit = static_cast<float>(std::log(total)) + 0.001f;
    while (testing::host_exp(logit) > total) logit = std::nextafter(logit, -INFINITY);
    total -= static_cast<double>(testing::host_exp(logit));
    logits.push_back(logit);
  }
  return logits;
}

// Two best tokens and a tail of half a unit in the last place of their sum: which way the total
// rounds, and so whether half of it takes one token or two, hangs on the tail's last bits. Those
// are the host's only if the tail is added in its order.
CUDA_TEST(ATailAtTheEdgeOfRoundingIsSummedInTheHostsOrder) {
  constexpr size_t kSize = 3000;
  const std::vector<float> edge = logits_of_weight(0x1.0p-52, 3);
  std::mt19937 random(1);
  std::vector<TestRow> rows;
  int with_two = 0;
  for (int i = 0; i < 64; ++i) {
    std::vector<float> logits(kSize, -INFINITY);
    for (int j = 0; j < i * 10; ++j) {
      logits[random() % kSize] = -75.0f - static_cast<float>(random() % 60) * 0.1f;
    }
    for (const float logit : edge) logits[random() % kSize] = logit;
    logits[random() % kSize] = 0.0f;
    logits[random() % kSize] = 0.0f;
    HostSampling s{.temperature = 1.0f, .top_p = 0.5f};
    // A number at which the second of two tokens would be drawn.
    const auto first =
        static_cast<int32_t>(std::find(logits.begin(), logits.end(), 0.0f) - logits.begin());
    HostSampling both{.temperature = 1.0f, .top_k = 2};
    while (testing::HostSampler(logits, both).sample().token_id == first) ++both.seed;
    s.seed = both.seed;
    with_two += testing::HostSampler(logits, s).sample().token_id == first ? 0 : 1;
    rows.push_back({std::move(logits), s});
  }
  expect(with_two > 0 && with_two < 64, "the rows are not at the edge");
  SampleBatch(std::move(rows), static_cast<int>(kSize)).check("tail at the edge");
}

// Seeds whose random number falls nearer to the edge between two tokens than sums in any order can
// tell: the host's own rounding decides.
CUDA_TEST(ADrawAtTheEdgeOfATokenIsTheHosts) {
  constexpr size_t kSize = 300000;
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0f, 0.5f);
  std::vector<float> logits(kSize);
  for (float& logit : logits) logit = normal(random);
  const float best = *std::max_element(logits.begin(), logits.end());
  std::vector<double> edges;
  double sum = 0.0;
  for (const float logit : logits) {
    sum += static_cast<double>(testing::host_exp(logit - best));
    edges.push_back(sum);
  }
  std::vector<TestRow> rows;
  for (uint64_t seed = 0; seed < 20000000 && rows.size() < 3; ++seed) {
    const double rest = testing::host_uniform(seed, 0, 0) * sum;
    const auto after = std::lower_bound(edges.begin(), edges.end(), rest);
    const double above = *after - rest;
    const double below = after == edges.begin() ? above : rest - *(after - 1);
    if (std::min(above, below) > 1.5e-12 * sum) continue;
    rows.push_back({logits, {.temperature = 1.0f, .seed = seed}});
  }
  expect(!rows.empty(), "no seed falls on an edge");
  if (!rows.empty()) SampleBatch(std::move(rows), kSize).check("draw at the edge");
}

// Equal weights and shares that are whole numbers of them: every target is at an edge.
CUDA_TEST(AShareAtTheEdgeOfATokenIsTheHosts) {
  std::vector<TestRow> rows;
  for (uint32_t i = 0; i < 60; ++i) {
    const float share[] = {0.5f, 0.25f, 0.125f, 0.75f};
    TestRow row{std::vector<float>(8192, -INFINITY), {.temperature = 0.9f, .top_p = share[i % 4]}};
    const size_t step = i % 3 == 0 ? 1 : i % 3 == 1 ? 8 : 64;  // 8192, 1024 or 128 tokens
    for (size_t at = i % step; at < 8192; at += step) row.logits[at] = 1.5f;
    if (i % 5 == 0) row.logits[77] = 3.0f;
    row.sampling.seed = i;
    rows.push_back(std::move(row));
  }
  SampleBatch(std::move(rows), 8192).check("share at the edge");
}

CUDA_TEST(ARowIsTheSameBitsAloneAndInABatch) {
  const std::vector<TestRow> rows = random_rows(18, 10000, 10000, 77);
  SampleBatch all(rows, 10000);
  launch_sample(all.params(), nullptr);
  const std::vector<SampleOutcome> outcomes = all.outcomes();
  const std::vector<SampleLogprob> logprobs = all.logprobs();
  for (size_t r = 0; r < rows.size(); ++r) {
    SampleBatch alone({rows[r]}, 10000);
    launch_sample(alone.params(), nullptr);
    const SampleOutcome outcome = alone.outcomes()[0];
    expect(std::memcmp(&outcome, &outcomes[r], sizeof(outcome)) == 0,
           "row " + std::to_string(r) + " has another outcome alone");
    const std::vector<SampleLogprob> own = alone.logprobs();
    expect(std::memcmp(own.data(), &logprobs[r * cuda_test::kEntries],
                       own.size() * sizeof(SampleLogprob)) == 0,
           "row " + std::to_string(r) + " has other log-probabilities alone");
  }
}

// A sequence as it is decoded: one captured launch, replayed with the next position; the counts
// that penalties read are the ones that the launches before left.
CUDA_TEST(ACapturedLaunchDecodesASequenceWithItsPenalties) {
  HostSampling s{.temperature = 0.7f,
                 .top_p = 0.9f,
                 .repetition_penalty = 1.3f,
                 .presence_penalty = 0.5f,
                 .frequency_penalty = 0.25f,
                 .seed = 11};
  s.prompt = {1, 2, 3, 2};
  const std::vector<float> logits = make_logits(6, 9, 4000);
  SampleBatch batch({{logits, s}}, 4000);
  cudaStream_t stream;
  GLMOE_CUDA(cudaStreamCreate(&stream));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  GLMOE_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  launch_sample(batch.params(), stream);
  GLMOE_CUDA(cudaStreamEndCapture(stream, &graph));
  GLMOE_CUDA(cudaGraphInstantiate(&exec, graph, 0));
  for (int step = 0; step < 60; ++step) {
    batch.device_rows()[0].position = step;
    batch.upload_rows();
    GLMOE_CUDA(cudaGraphLaunch(exec, stream));
    GLMOE_CUDA(cudaStreamSynchronize(stream));
    const int32_t wanted = testing::HostSampler(logits, s).sample().token_id;
    const int32_t found = batch.outcomes()[0].token_id;
    expect(found == wanted, "step " + std::to_string(step) + ": token " + std::to_string(found) +
                                ", wanted " + std::to_string(wanted));
    s.output.push_back(wanted);
  }
  GLMOE_CUDA(cudaGraphExecDestroy(exec));
  GLMOE_CUDA(cudaGraphDestroy(graph));
  GLMOE_CUDA(cudaStreamDestroy(stream));
}

CUDA_TEST(InactiveRowsArePassedOver) {
  SampleBatch batch(random_rows(3, 1000, 1000, 4), 1000);
  batch.device_rows()[1].active = 0;
  batch.upload_rows();
  launch_sample(batch.params(), nullptr);
  const std::vector<SampleOutcome> outcomes = batch.outcomes();
  SampleOutcome poison;
  std::memset(&poison, 0x99, sizeof(poison));
  expect(std::memcmp(&outcomes[1], &poison, sizeof(poison)) == 0, "the inactive row was written");
  expect(outcomes[0].token_id >= 0 && outcomes[2].token_id >= 0, "an active row was not");
}

CUDA_TEST(WrongSampleParametersAreRefusedByName) {
  const SampleBatch batch(random_rows(2, 1000, 1000, 4), 900);
  const auto refused = [&](auto change, const char* part) {
    SampleParams params = batch.params();
    change(params);
    expect_refused([&] { launch_sample(params, nullptr); }, part);
  };
  refused([](SampleParams& p) { p.num_rows = -1; }, "num_rows is -1");
  refused([](SampleParams& p) { p.vocab_size = kMaxSampleVocab + 1; }, "vocab_size is 344065");
  refused([](SampleParams& p) { p.vocab_size = 0; }, "vocab_size is 0");
  refused([](SampleParams& p) { p.num_tokens = 1001; }, "num_tokens is 1001, wanted 1 to 1000");
  refused([](SampleParams& p) { p.row_stride = 1002; }, "row_stride is 1002");
  refused([](SampleParams& p) { p.row_stride = 996; }, "at least 1000");
  refused([](SampleParams& p) { p.count_stride = 901; }, "count_stride is 901");
  refused([](SampleParams& p) { p.next_row = nullptr; }, "next_row and next_token_ids");
  refused([](SampleParams& p) { p.logits = nullptr; }, "logits is null");
  refused([](SampleParams& p) { ++p.logits; }, "logits is not aligned");
  refused([](SampleParams& p) { p.rows = nullptr; }, "rows is null");
  refused([](SampleParams& p) { p.outcomes = nullptr; }, "outcomes is null");
}

}  // namespace
}  // namespace glmoe::cuda
