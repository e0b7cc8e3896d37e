// The sampler said once more, plainly: it sorts the vocabulary and adds in the order that makes the
// bits. The GPU's tests hold the kernels to it, tests/sample/host_sampler_test.cc the engine's
// sampler: so the two agree. Standard library alone; build it without contraction to fused
// operations.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace glmoe::testing {

struct HostSampling {
  float temperature = 0.0f;
  int64_t top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  uint64_t seed = 0;
  uint64_t stream = 0;
  int64_t min_tokens = 0;
  int64_t num_logprobs = -1;
  std::vector<std::pair<int32_t, float>> bias{};
  std::vector<int32_t> stop_ids{};
  std::vector<int32_t> prompt{};
  std::vector<int32_t> output{};
};

struct HostLogprob {
  int32_t token_id;
  float logprob;
  int64_t rank;
};

enum class HostStatus { kSampled, kNan, kNothing };

struct HostOutcome {
  HostStatus status = HostStatus::kSampled;
  int32_t token_id = -1;
  int32_t first_nan = -1;
  std::vector<HostLogprob> logprobs;
};

// The engine's exp for x <= 0.
inline float host_exp(float x) {
  if (!(x >= -87.0f)) return 0.0f;
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.0f / 720.0f;
  for (const float c : {1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f}) {
    p = p * r + c;
  }
  return std::ldexp(p, static_cast<int>(n));
}

// The engine's random number in [0, 1).
inline double host_uniform(uint64_t seed, uint64_t stream, uint64_t position) {
  const auto mix = [](uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
  };
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;
  uint64_t bits = mix(seed + kGolden);
  bits = mix(bits + stream * kGolden + 1);
  bits = mix(bits + position * kGolden + 2);
  return std::ldexp(static_cast<double>(bits >> 11), -53);
}

class HostSampler {
 public:
  // logits: of the tokens that may be sampled.
  HostSampler(std::vector<float> logits, const HostSampling& sampling)
      : logits_(std::move(logits)), sampling_(sampling) {}

  HostOutcome sample() {
    adjust();
    HostOutcome outcome = look();
    if (outcome.status != HostStatus::kSampled) return outcome;
    outcome.token_id = choose();
    if (sampling_.num_logprobs >= 0) {
      outcome.logprobs = logprobs(outcome.token_id, sampling_.num_logprobs);
    }
    return outcome;
  }

  // Of a given token, without bias and penalties.
  HostOutcome score(int32_t token_id) {
    HostOutcome outcome = look();
    if (outcome.status != HostStatus::kSampled) return outcome;
    outcome.token_id = token_id;
    outcome.logprobs = logprobs(token_id, sampling_.num_logprobs);
    return outcome;
  }

 private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  static constexpr int kBlock = 256;
  static constexpr int kLanes = 16;
  static constexpr int kNumBuckets = 513;

  bool valid(int32_t id) const { return id >= 0 && id < static_cast<int32_t>(logits_.size()); }
  float& at(int32_t id) { return logits_[static_cast<size_t>(id)]; }

  void adjust() {
    for (const auto& [id, bias] : sampling_.bias) {
      if (valid(id)) at(id) += bias;
    }
    if (static_cast<int64_t>(sampling_.output.size()) < sampling_.min_tokens) {
      for (const int32_t id : sampling_.stop_ids) {
        if (valid(id)) at(id) = -kInfinity;
      }
    }
    std::vector<int> counts(logits_.size());
    std::vector<bool> seen(logits_.size());
    for (const int32_t id : sampling_.prompt) {
      if (valid(id)) seen[static_cast<size_t>(id)] = true;
    }
    for (const int32_t id : sampling_.output) {
      if (valid(id)) seen[static_cast<size_t>(id)] = true, ++counts[static_cast<size_t>(id)];
    }
    for (size_t i = 0; i < logits_.size(); ++i) {
      float& logit = logits_[i];
      const float penalty = sampling_.repetition_penalty;
      if (seen[i]) logit = logit > 0 ? logit / penalty : logit * penalty;
      if (counts[i] == 0) continue;
      const float share = sampling_.frequency_penalty * static_cast<float>(counts[i]);
      logit -= sampling_.presence_penalty + share;
    }
  }

  // NaN and the like; sorts the tokens above -infinity into `order_`.
  HostOutcome look() {
    HostOutcome outcome;
    for (size_t i = 0; i < logits_.size(); ++i) {
      if (std::isnan(logits_[i])) {
        return {HostStatus::kNan, -1, static_cast<int32_t>(i), {}};
      }
      if (logits_[i] > -kInfinity) order_.push_back(static_cast<int32_t>(i));
    }
    std::stable_sort(order_.begin(), order_.end(),
                     [&](int32_t a, int32_t b) { return at(a) > at(b); });
    if (order_.empty()) return {HostStatus::kNothing, -1, -1, {}};
    return outcome;
  }

  float best() { return at(order_[0]); }

  int32_t choose() {
    if (sampling_.temperature < 1e-5f || best() == kInfinity) return order_[0];
    const float inverse = 1.0f / sampling_.temperature;
    size_t kept = order_.size();
    if (sampling_.top_k > 0) kept = std::min(kept, static_cast<size_t>(sampling_.top_k));
    if (sampling_.top_p < 1.0f) kept = top_p(kept, inverse);
    if (sampling_.min_p > 0.0f) {
      const float floor = best() + std::log(sampling_.min_p) * sampling_.temperature;
      const float bound = std::min(floor, best());
      while (at(order_[kept - 1]) < bound) --kept;
    }
    std::vector<float> weights(padded());
    for (size_t i = 0; i < kept; ++i) {
      weights[static_cast<size_t>(order_[i])] = weight(at(order_[i]), inverse);
    }
    return draw(weights);
  }

  size_t padded() const { return (logits_.size() + kBlock - 1) / kBlock * kBlock; }

  // How many of the first `kept` tokens reach top_p of their weight.
  size_t top_p(size_t kept, float inverse) {
    const auto bucket = [&](float logit) {
      const float depth = (best() - logit) * (inverse * 16.0f);
      return static_cast<size_t>(std::min(depth, static_cast<float>(kNumBuckets - 1)));
    };
    std::vector<double> sums(kNumBuckets);
    std::vector<int32_t> by_id(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(kept));
    std::sort(by_id.begin(), by_id.end());
    for (const int32_t id : by_id) sums[bucket(at(id))] += weight(at(id), inverse);
    double total = 0.0;
    for (const double sum : sums) total += sum;
    double rest = static_cast<double>(sampling_.top_p) * total;
    double sum = 0.0;
    size_t b = 0;
    double before = 0.0;
    for (; b < kNumBuckets; ++b) {
      before = sum;
      sum += sums[b];
      if (sum >= rest) break;
    }
    rest -= before;
    size_t i = 0;
    while (i + 1 < kept && bucket(at(order_[i])) < b) ++i;
    double inside = 0.0;
    for (; i < kept && bucket(at(order_[i])) == b; ++i) {
      inside += weight(at(order_[i]), inverse);
      if (inside >= rest) return i + 1;
    }
    return i;
  }

  float weight(float logit, float inverse) { return host_exp((logit - best()) * inverse); }

  static double block_sum(const float* weights) {
    double sum = 0.0;
    for (int lane = 0; lane < kLanes; ++lane) {
      float lane_sum = 0.0f;
      for (int i = lane; i < kBlock; i += kLanes) lane_sum += weights[i];
      sum += static_cast<double>(lane_sum);
    }
    return sum;
  }

  int32_t draw(const std::vector<float>& weights) const {
    std::vector<double> sums;
    double total = 0.0;
    for (size_t i = 0; i < weights.size(); i += kBlock) {
      sums.push_back(block_sum(&weights[i]));
      total += sums.back();
    }
    double rest = uniform() * total;
    size_t block = sums.size();
    for (size_t b = 0; b < sums.size(); ++b) {
      if (sums[b] > 0.0) block = b;
      if (rest < sums[b]) break;
      rest -= sums[b];
    }
    int32_t chosen = -1;
    for (size_t i = block * kBlock; i < (block + 1) * kBlock && rest >= 0.0; ++i) {
      if (weights[i] > 0.0f) chosen = static_cast<int32_t>(i);
      rest -= static_cast<double>(weights[i]);
    }
    return chosen;
  }

  double uniform() const {
    return host_uniform(sampling_.seed, sampling_.stream, sampling_.output.size());
  }

  std::vector<HostLogprob> logprobs(int32_t token_id, int64_t num_alternatives) {
    const float highest = best();
    double total = 0.0;
    if (highest == kInfinity) {
      for (const int32_t id : order_) total += at(id) == kInfinity ? 1.0 : 0.0;
    } else {
      std::vector<float> weights(padded());
      for (const int32_t id : order_) weights[static_cast<size_t>(id)] = weight(at(id), 1.0f);
      for (size_t i = 0; i < weights.size(); i += kBlock) total += block_sum(&weights[i]);
    }
    const auto value = [&](float logit) {
      const double below = logit == highest ? 0.0 : static_cast<double>(logit) - highest;
      return static_cast<float>(below - std::log(total));
    };
    int64_t rank = 1;
    for (size_t i = 0; i < logits_.size(); ++i) {
      const float logit = logits_[i];
      const float own = at(token_id);
      rank += logit > own || (logit == own && static_cast<int32_t>(i) < token_id) ? 1 : 0;
    }
    std::vector<HostLogprob> result{{token_id, value(at(token_id)), rank}};
    for (size_t i = 0; i < order_.size(); ++i) {
      if (static_cast<int64_t>(result.size()) > num_alternatives) break;
      const float logprob = value(at(order_[i]));
      if (order_[i] == token_id) continue;
      if (std::isinf(logprob)) break;
      result.push_back({order_[i], logprob, static_cast<int64_t>(i) + 1});
    }
    return result;
  }

  std::vector<float> logits_;
  HostSampling sampling_;
  std::vector<int32_t> order_;
};

}  // namespace glmoe::testing
