// The GPU's sampler against the host's: for the same logits the same tokens, log-probabilities and
// errors, step after step, whatever rows stand beside each other.
#include "gpu/gpu_sampler.h"

#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>

#include "base/rng.h"
#include "sample/sampler.h"
#include "support/gpu.h"

namespace glmoe {
namespace {

using namespace testing;

constexpr int64_t kVocab = 5003;
constexpr int64_t kValid = 4990;
constexpr int64_t kStride = 5004;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class SamplerOnTheGpu : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    device_ = std::make_unique<GpuSampler>(GpuSamplerOptions{
        .vocab_size = kVocab, .num_valid_tokens = kValid, .max_rows = 64, .max_sequences = 16});
    host_ = std::make_unique<Sampler>(kVocab, kValid);
    logits_ = DeviceBuffer(64 * kStride * sizeof(float), "test logits");
    stream_ = std::make_unique<CudaStream>();
  }

  void start(const SequenceStart& start) {
    device_->start(start, stream_->get());
    host_->start(start);
  }
  void release(SequenceId id) {
    device_->release(id);
    host_->release(id);
  }
  // Rows like those of a language model: a few high logits above many low ones.
  static std::vector<float> random_logits(size_t num_rows, uint64_t seed) {
    std::vector<float> logits(num_rows * kStride);
    for (size_t i = 0; i < logits.size(); ++i) {
      const double u = random_uniform(seed, 1, i);
      logits[i] = static_cast<float>(8.0 * u * u * u - 2.0 * random_uniform(seed, 2, i));
    }
    return logits;
  }
  static void expect_same(const PositionLogprobs& found, const PositionLogprobs& wanted) {
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].token_id, wanted[i].token_id) << i;
      EXPECT_EQ(found[i].rank, wanted[i].rank) << i;
      // Both sum in double; log() may differ in its last bit.
      EXPECT_NEAR(found[i].logprob, wanted[i].logprob, 1e-6 * std::abs(wanted[i].logprob)) << i;
    }
  }
  // Samples the plan on both sides from `logits` (row r at r * kStride) and compares.
  void compare(const StepPlan& plan, const std::vector<float>& logits, int parts = 1) {
    device_->begin(plan);
    const int rows = device_->num_rows();
    ASSERT_EQ(static_cast<size_t>(rows) * kStride, logits.size());
    GLMOE_CUDA(cudaMemcpy(logits_.data(), logits.data(), logits.size() * sizeof(float),
                          cudaMemcpyHostToDevice));
    for (int p = 0; p < parts; ++p) {
      const int first = rows * p / parts;
      const int count = rows * (p + 1) / parts - first;
      float* part = reinterpret_cast<float*>(logits_.data()) + first * kStride;
      device_->process(part, kStride, first, count, stream_->get());
      device_->enqueue(part, kStride, first, count, stream_->get());
    }
    device_->fetch(stream_->get());
    stream_->synchronize();
    StepResult found;
    device_->collect(plan, found);
    ASSERT_EQ(found.sequences.size(), plan.sequences.size());
    size_t row = 0;
    const auto next_row = [&] {
      const float* from = logits.data() + row++ * kStride;
      return std::vector<float>(from, from + kVocab);
    };
    for (size_t i = 0; i < plan.sequences.size(); ++i) {
      SCOPED_TRACE("sequence " + std::to_string(plan.sequences[i].id));
      const SequenceStep& s = plan.sequences[i];
      const SequenceResult& of = found.sequences[i];
      EXPECT_EQ(of.id, s.id);
      if (s.prompt_logprobs) {
        std::vector<int32_t> scored(s.token_ids.begin() + 1, s.token_ids.end());
        if (!s.sample) scored.push_back(s.next_token_id);
        ASSERT_EQ(of.prompt_logprobs.size(), scored.size());
        for (size_t t = 0; t < scored.size(); ++t) {
          expect_same(of.prompt_logprobs[t], host_->prompt_logprob(s.id, next_row(), scored[t]));
        }
      }
      if (!s.sample) continue;
      std::vector<float> values = next_row();
      const SequenceResult wanted = host_->sample(s.id, values);
      EXPECT_EQ(of.sampled, wanted.sampled);
      EXPECT_EQ(of.error, wanted.error);
      if (wanted.sampled) {
        EXPECT_EQ(of.token_id, wanted.token_id);
      }
      expect_same(of.logprobs, wanted.logprobs);
    }
  }
  static SequenceStep sampling_step(SequenceId id) {
    SequenceStep step;
    step.id = id;
    step.token_ids = {0};
    step.sample = true;
    return step;
  }
  static StepPlan all_of(SequenceId last) {
    StepPlan plan;
    for (SequenceId id = 1; id <= last; ++id) plan.sequences.push_back(sampling_step(id));
    return plan;
  }

  std::unique_ptr<GpuSampler> device_;
  std::unique_ptr<Sampler> host_;
  DeviceBuffer logits_;
  std::unique_ptr<CudaStream> stream_;
};

ResolvedSampling mixed(uint64_t i) {
  ResolvedSampling s;
  s.seed = 77 + i;
  s.stream = i % 3;
  s.temperature = i % 4 == 0 ? 0.0f : 0.3f + 0.2f * static_cast<float>(i);
  if (i % 3 == 1) s.top_k = static_cast<int64_t>(1 + 13 * i);
  if (i % 5 == 2) s.top_p = 0.8f;
  if (i % 5 == 3) s.min_p = 0.05f;
  if (i % 2 == 1) s.repetition_penalty = 1.3f;
  if (i % 3 == 2) s.presence_penalty = 0.7f;
  if (i % 7 == 3) s.frequency_penalty = -0.4f;
  if (i % 4 == 3)
    s.logit_bias = {{3, 4.0f}, {4000, -100.0f}, {static_cast<int32_t>(100 + i), 2.5f}};
  if (i % 4 == 2) s.num_logprobs = static_cast<int64_t>(i % 21);  // 20 is the most there are
  s.min_tokens = i % 6 == 1 ? 4 : 0;
  s.stop_token_ids = {17, 17, 255, 4989};
  return s;
}

std::vector<int32_t> some_ids(size_t count, uint64_t seed) {
  std::vector<int32_t> ids(count);
  for (size_t i = 0; i < count; ++i) {
    ids[i] = static_cast<int32_t>(random_bits(seed, 3, i) % kVocab);
  }
  return ids;
}

TEST_F(SamplerOnTheGpu, SixteenDifferentRequestsGetTheHostsTokensForTwentySteps) {
  for (SequenceId id = 1; id <= 16; ++id) {
    start({.id = id, .sampling = mixed(id), .prompt_ids = some_ids(40 * id, id)});
  }
  for (uint64_t step = 0; step < 20; ++step) compare(all_of(16), random_logits(16, 100 + step));
}

// Logits so even that nearly every token is drawn by a hair, and logits that are all alike.
TEST_F(SamplerOnTheGpu, FlatRowsAndTiesAreDrawnAlike) {
  for (SequenceId id = 1; id <= 8; ++id) {
    ResolvedSampling sampling{.temperature = 1.0f + static_cast<float>(id), .seed = id};
    if (id % 2 == 0) sampling.top_p = 0.5f;
    start({.id = id, .sampling = sampling});
  }
  for (uint64_t step = 0; step < 10; ++step) {
    std::vector<float> logits(8 * kStride, 0.25f);
    for (size_t i = 0; i < 4 * kStride; ++i) logits[i] = 1e-3f * static_cast<float>(i % 7);
    compare(all_of(8), logits);
  }
}

TEST_F(SamplerOnTheGpu, NanAndInfinityEndOneRowAndNotItsNeighbours) {
  for (SequenceId id = 1; id <= 6; ++id) start({.id = id, .sampling = mixed(id)});
  std::vector<float> logits = random_logits(6, 5);
  logits[kStride + 4000] = std::nanf("");
  std::fill_n(logits.begin() + 2 * kStride, kStride, -kInfinity);
  logits[3 * kStride + 9] = kInfinity;
  logits[4 * kStride + kValid + 1] = std::nanf("");  // padding is not looked at
  compare(all_of(6), logits);
  compare(all_of(6), random_logits(6, 6));
}

TEST_F(SamplerOnTheGpu, PromptsAreScoredInAnyParts) {
  for (SequenceId id = 1; id <= 3; ++id) {
    ResolvedSampling sampling = mixed(id);
    sampling.num_prompt_logprobs = static_cast<int64_t>(id) * 3;
    start({.id = id, .sampling = sampling, .prompt_ids = some_ids(9, id)});
  }
  StepPlan plan = all_of(3);
  plan.sequences[0].token_ids = some_ids(9, 1);
  plan.sequences[0].prompt_logprobs = true;
  plan.sequences[1].token_ids = some_ids(7, 2);
  plan.sequences[1].prompt_logprobs = true;
  plan.sequences[1].sample = false;
  plan.sequences[1].next_token_id = 4999;  // a padding id can stand in a prompt
  std::vector<float> logits = random_logits(9 + 7 + 1, 8);
  logits[3 * kStride] = std::nanf("");
  compare(plan, logits, 1);
  release(1), release(2), release(3);
  for (SequenceId id = 1; id <= 3; ++id) {
    ResolvedSampling sampling = mixed(id);
    sampling.num_prompt_logprobs = 2;
    start({.id = id, .sampling = sampling, .prompt_ids = some_ids(9, id)});
  }
  compare(plan, logits, 4);
}

// After a pre-emption the output so far comes along: penalties and random numbers go on.
TEST_F(SamplerOnTheGpu, ARestartedSequenceGoesOnAndSlotsAreUsedAgain) {
  for (uint64_t round = 0; round < 12; ++round) {
    for (SequenceId id = 1; id <= 16; ++id) {
      start({.id = 100 * round + id,
             .sampling = mixed(id + 16),
             .prompt_ids = some_ids(300, round),
             .output_ids = some_ids(round * 900, round + 50)});
    }
    StepPlan plan;
    for (SequenceId id = 1; id <= 16; ++id) {
      plan.sequences.push_back(sampling_step(100 * round + id));
    }
    compare(plan, random_logits(16, 200 + round));
    for (SequenceId id = 1; id <= 16; ++id) release(100 * round + id);
  }
}

// More biases than the lists of a step hold beside each other: sampled in parts.
TEST_F(SamplerOnTheGpu, BiasesOfTheWholeVocabularyInEveryRow) {
  for (SequenceId id = 1; id <= 8; ++id) {
    ResolvedSampling sampling{.temperature = 0.8f, .seed = id};
    for (int32_t token = 0; token < kVocab; ++token) {
      sampling.logit_bias.emplace_back(token, static_cast<float>((token * 7 + id) % 11));
    }
    start({.id = id, .sampling = sampling});
  }
  for (uint64_t step = 0; step < 3; ++step) compare(all_of(8), random_logits(8, 300 + step));
}

// Two rows of four have a processor, one of which fails in its second step.
TEST_F(SamplerOnTheGpu, RowsWithALogitsProcessorGoThroughItAndTheOthersDoNot) {
  std::vector<std::vector<int32_t>> seen;
  for (SequenceId id = 1; id <= 4; ++id) {
    SequenceStart start{.id = id, .sampling = mixed(id), .prompt_ids = {7, 8}, .output_ids = {}};
    if (id % 2 == 0) {
      start.sampling.logits_processor = std::make_shared<const LogitsProcessor>(
          [&seen, id](std::span<const int32_t> tokens, std::span<float> logits) {
            ASSERT_EQ(static_cast<int64_t>(logits.size()), kVocab);
            if (id == 4 && tokens.size() == 3) throw std::runtime_error("row 4 has had enough");
            if (id == 2) seen.emplace_back(tokens.begin(), tokens.end());
            for (size_t i = 0; i < logits.size(); i += 2) logits[i] = -kInfinity;
          });
    }
    this->start(start);
  }
  for (uint64_t step = 0; step < 3; ++step) {
    compare(all_of(4), random_logits(4, 900 + step), /*parts=*/step == 1 ? 2 : 1);
  }
  // Both samplers called it, with the same tokens, all of them odd.
  ASSERT_EQ(seen.size(), 6u);
  for (size_t i = 0; i < 6; i += 2) EXPECT_EQ(seen[i], seen[i + 1]);
  ASSERT_EQ(seen[5].size(), 4u);
  EXPECT_EQ(seen[5][2] % 2, 1);
}

}  // namespace
}  // namespace glmoe
