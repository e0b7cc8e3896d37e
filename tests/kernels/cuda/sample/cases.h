// Rows of logits and parameters that exercise every path of sampling; for the GPU's tests and for
// the comparison of host_sampler.h with the engine's sampler.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace glmoe::testing {

inline constexpr int kNumLogitKinds = 9;

// 0 as a model's, 1 almost flat, 2 many ties, 3 a third banned, 4 all equal, 5 a wide spread (most
// of the row in the tail), 6 two peaks far above the rest, 7 zeros of both signs among small
// numbers, 8 a few tokens above -infinity.
inline std::vector<float> make_logits(int kind, uint32_t seed, size_t size) {
  std::mt19937 random(seed);
  constexpr float kSpread[kNumLogitKinds] = {3, 0.01f, 3, 3, 0, 20, 1, 1, 4};
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> logits(size);
  for (float& logit : logits) {
    logit = kSpread[kind] * normal(random);
    if (kind == 2) logit = std::round(logit);
    if (kind == 3 && random() % 3 == 0) logit = -INFINITY;
    if (kind == 7) logit = random() % 2 == 0 ? 0.0f : random() % 2 == 0 ? -0.0f : logit;
    if (kind == 8 && random() % 64 != 0) logit = -INFINITY;
  }
  if (kind == 6) {
    logits[random() % size] = 40.0f;
    logits[random() % size] = 40.5f;
  }
  if (kind == 8) logits[random() % size] = 1.0f;
  return logits;
}

inline int32_t random_token(std::mt19937& random, size_t size) {
  return static_cast<int32_t>(random() % size);
}

// Parameters at random, each present as often as not, with the members of HostSampling.
template <class Sampling>
Sampling make_sampling(uint32_t seed, size_t vocab_size) {
  std::mt19937 random(seed * 2654435761u + 1);
  const auto coin = [&] { return random() % 2 == 0; };
  const auto one_of = [&](auto... values) {
    const float options[] = {static_cast<float>(values)...};
    return options[random() % sizeof...(values)];
  };
  Sampling s;
  if (random() % 8 != 0) s.temperature = one_of(1, 1, 0.6f, 0.3f, 0.05f, 2, 100, 1e-5f, 0.95f);
  if (coin()) s.top_k = static_cast<int64_t>(one_of(1, 2, 5, 20, 50, 300, 700, 5000, 1e9f));
  if (coin()) s.top_p = one_of(0.95f, 0.9f, 0.5f, 0.1f, 1e-6f, 0.999f, 0.99999994f);
  if (coin()) s.min_p = one_of(0.05f, 0.5f, 1, 1e-4f, 1e-30f);
  s.seed = random() | uint64_t{random()} << 32;
  s.stream = random() % 3;
  if (random() % 4 == 0) {
    s.repetition_penalty = one_of(1.1f, 1.5f, 0.7f, 1);
    s.presence_penalty = one_of(0, 0.5f, -1, 2);
    s.frequency_penalty = one_of(0, 0.25f, -0.5f);
    for (int i = 0; i < 300; ++i) s.prompt.push_back(random_token(random, vocab_size));
  }
  const size_t num_output = random() % 40;
  for (size_t i = 0; i < num_output; ++i) {
    s.output.push_back(coin() && i > 0 ? s.output[0] : random_token(random, vocab_size));
  }
  if (random() % 4 == 0) {
    for (int32_t id = random_token(random, 50); id < static_cast<int32_t>(vocab_size);
         id += 1 + random_token(random, 1000)) {
      s.bias.emplace_back(id, one_of(-100, -1, 0.5f, 5, 20));
    }
  }
  if (random() % 4 == 0) {
    s.min_tokens = 20;
    for (int i = 0; i < 5; ++i) s.stop_ids.push_back(random_token(random, vocab_size));
  }
  if (random() % 3 == 0) s.num_logprobs = static_cast<int64_t>(one_of(0, 1, 5, 20));
  return s;
}

}  // namespace glmoe::testing
