#include "kernels/cpu/router/router.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/router/router.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h, as Highway wants it:
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace glmoe::kernels::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::CappedTag<float, 16>;
constexpr F kF;

// Highway's Exp turns NaN into 0; in the functions below a NaN stays visible.

// out[i] = f(x[i]); the last vector is padded with zeros.
template <class Function>
HWY_INLINE void map(const float* x, int64_t count, float* out, Function f) {
  const auto n = static_cast<int64_t>(hn::Lanes(kF));
  int64_t i = 0;
  for (; i + n <= count; i += n) hn::StoreU(f(hn::LoadU(kF, x + i)), kF, out + i);
  if (i == count) return;
  HWY_ALIGN float tail[16] = {};
  std::copy(x + i, x + count, tail);
  hn::Store(f(hn::Load(kF, tail)), kF, tail);
  std::copy_n(tail, count - i, out + i);
}

void Sigmoid(const float* x, int64_t count, float* out) {
  const auto one = hn::Set(kF, 1.0f);
  map(x, count, out, [&](hn::Vec<F> v) HWY_ATTR {
    // exp(80) is finite and 1 / (1 + exp(80)) as good as exact.
    const auto down = hn::Exp(kF, hn::Min(hn::Neg(v), hn::Set(kF, 80.0f)));
    return hn::IfThenElse(hn::IsNaN(v), v, hn::Div(one, hn::Add(one, down)));
  });
}

void ExpMinus(const float* x, int64_t count, float shift, float* out) {
  map(x, count, out, [&](hn::Vec<F> v) HWY_ATTR {
    const auto d = hn::Sub(v, hn::Set(kF, shift));
    return hn::IfThenElse(hn::IsNaN(d), d, hn::Exp(kF, d));
  });
}

}  // namespace
}  // namespace glmoe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace glmoe::kernels {
namespace {

HWY_EXPORT(Sigmoid);
HWY_EXPORT(ExpMinus);

constexpr float kLowest = -std::numeric_limits<float>::infinity();

float rank_of(float score) { return std::isnan(score) ? kLowest : score; }

// Indices of the `count` highest scores in descending order, lowest index first on ties.
void take_highest(const float* scores, int64_t num_scores, int64_t count, int32_t* ids) {
  int64_t taken = 0;
  for (int64_t i = 0; i < num_scores; ++i) {
    const float score = rank_of(scores[i]);
    if (taken == count && !(score > rank_of(scores[ids[taken - 1]]))) continue;
    int64_t at = taken < count ? taken++ : count - 1;
    for (; at > 0 && score > rank_of(scores[ids[at - 1]]); --at) ids[at] = ids[at - 1];
    ids[at] = static_cast<int32_t>(i);
  }
}

float group_score(const float* scores, int64_t width, bool two_largest) {
  float first = kLowest, second = kLowest;
  for (int64_t i = 0; i < width; ++i) {
    const float score = rank_of(scores[i]);
    second = std::max(second, std::min(first, score));
    first = std::max(first, score);
  }
  return two_largest && width > 1 ? first + second : first;
}

// Sets the scores outside of the best topk_group groups to 0, as the model's authors do.
void limit_groups(const RouterParams& params, bool two_largest, float* scores) {
  if (params.topk_group >= params.n_group) return;
  const int64_t width = params.num_experts / params.n_group;
  // The groups' scores are few: ranking each against all others needs no memory.
  const auto score = [&](int64_t g) {
    return rank_of(group_score(scores + g * width, width, two_largest));
  };
  float* group_scores = scores + params.num_experts;  // n_group <= E more floats of the scratch
  for (int64_t g = 0; g < params.n_group; ++g) group_scores[g] = score(g);
  for (int64_t g = 0; g < params.n_group; ++g) {
    int64_t better = 0;
    for (int64_t other = 0; other < params.n_group; ++other) {
      better += group_scores[other] > group_scores[g] ||
                (other < g && group_scores[other] == group_scores[g]);
    }
    if (better >= params.topk_group) std::fill_n(scores + g * width, width, 0.0f);
  }
}

float highest_of(const float* values, int64_t count) {
  float highest = kLowest;
  for (int64_t i = 0; i < count; ++i) highest = std::max(highest, rank_of(values[i]));
  return highest;
}

// exp(x - max) and its sum.
float exponentials(const float* logits, int64_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(ExpMinus)(logits, count, highest_of(logits, count), out);
  float sum = 0.0f;
  for (int64_t i = 0; i < count; ++i) sum += out[i];
  return sum;
}

float gather(const float* scores, const int32_t* ids, int64_t count, float* weights) {
  float sum = 0.0f;
  for (int64_t k = 0; k < count; ++k) sum += weights[k] = scores[ids[k]];
  return sum;
}

void select_softmax(const RouterParams& p, const float* logits, float* scratch, int32_t* ids,
                    float* weights) {
  // By logit: probabilities of far-off experts may all round to 0.
  take_highest(logits, p.num_experts, p.top_k, ids);
  float sum = exponentials(logits, p.num_experts, scratch);
  const float chosen = gather(scratch, ids, p.top_k, weights);
  if (p.mode == RouterMode::kRenormalize) sum = chosen;
  for (int64_t k = 0; k < p.top_k; ++k) weights[k] /= sum;
}

void select_device_limited(const RouterParams& p, const float* logits, float* scratch, int32_t* ids,
                           float* weights) {
  const float sum = exponentials(logits, p.num_experts, scratch);
  for (int64_t e = 0; e < p.num_experts; ++e) scratch[e] /= sum;
  limit_groups(p, false, scratch);
  take_highest(scratch, p.num_experts, p.top_k, ids);
  const float chosen = gather(scratch, ids, p.top_k, weights);
  // A factor before the division would cancel: the renormalised weights add up to 1.
  for (int64_t k = 0; k < p.top_k; ++k) {
    weights[k] = p.mode == RouterMode::kDeviceLimitedRenorm ? weights[k] / chosen
                                                            : weights[k] * p.scaling_factor;
  }
}

void select_sigmoid(const RouterParams& p, const float* logits, float* scratch, int32_t* ids,
                    float* weights) {
  float* selection = scratch;
  HWY_DYNAMIC_DISPATCH(Sigmoid)(logits, p.num_experts, selection);
  if (p.bias != nullptr) {
    for (int64_t e = 0; e < p.num_experts; ++e) selection[e] += p.bias[e];
  }
  limit_groups(p, true, selection);
  take_highest(selection, p.num_experts, p.top_k, ids);
  for (int64_t k = 0; k < p.top_k; ++k) weights[k] = logits[ids[k]];
  HWY_DYNAMIC_DISPATCH(Sigmoid)(weights, p.top_k, weights);
  float sum = 1e-20f;
  for (int64_t k = 0; k < p.top_k; ++k) sum += weights[k];
  for (int64_t k = 0; k < p.top_k; ++k) {
    if (p.normalize) weights[k] /= sum;
    weights[k] *= p.scaling_factor;
  }
}

// Each pick's weight is a softmax over the experts within a relative distance of the highest that
// is left; experts that were picked before don't count.
void select_sparse_mixer(const RouterParams& p, const float* logits, int32_t* ids, float* weights) {
  // The picks are the highest logits in order, because each takes the best of what is left.
  take_highest(logits, p.num_experts, p.top_k, ids);
  for (int64_t k = 0; k < p.top_k; ++k) {
    const float top = logits[ids[k]];
    float sum = 0.0f;
    for (int64_t e = 0; e < p.num_experts; ++e) {
      if (std::find(ids, ids + k, static_cast<int32_t>(e)) != ids + k) continue;
      const float distance = (top - logits[e]) / std::max(std::abs(logits[e]), top);
      if (distance > 2.0f * p.epsilon) continue;
      sum += std::exp(logits[e] - top);
    }
    weights[k] = 1.0f / sum;
  }
}

}  // namespace

void select_token(const RouterParams& params, const float* logits, float* scratch, int32_t* ids,
                  float* weights) {
  cpu_target();
  switch (params.mode) {
    case RouterMode::kNone:
    case RouterMode::kRenormalize: return select_softmax(params, logits, scratch, ids, weights);
    case RouterMode::kSparseMixer: return select_sparse_mixer(params, logits, ids, weights);
    case RouterMode::kDeviceLimited:
    case RouterMode::kDeviceLimitedRenorm:
      return select_device_limited(params, logits, scratch, ids, weights);
    case RouterMode::kSigmoidBias: return select_sigmoid(params, logits, scratch, ids, weights);
  }
}

}  // namespace glmoe::kernels
#endif  // HWY_ONCE
