// The choice of one token's experts by one warp, from its logits. Expert e is the lane e % 32's
// number e / 32. Semantics of src/kernels/cpu/router/router.cc: ties go to the lowest index, NaN
// ranks below everything.
#pragma once

#include <cstdint>

#include "kernels/cuda/common/block_sum.cuh"
#include "kernels/cuda/moe/moe_router.h"

namespace glmoe::cuda {

// Warps of a block that selects.
inline constexpr int kMaxSelectWarps = 8;

__device__ inline float lowest() { return -__int_as_float(0x7f800000); }
__device__ inline float rank_of(float score) { return isnan(score) ? lowest() : score; }

// Unsigned numbers in the order of the scores; all above 0, which stands for "not to be taken".
__device__ inline unsigned order_key(float score) {
  const unsigned bits = __float_as_uint(rank_of(score) + 0.0f);  // + 0: both zeros are one
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

__device__ inline float warp_max(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, distance));
  }
  return value;
}

// NaN stays NaN.
__device__ inline float sigmoid(float x) {
  return isnan(x) ? x : 1.0f / (1.0f + expf(fminf(-x, 80.0f)));
}

// Floats of shared memory that a warp needs: 0 where no group is left out.
__host__ __device__ inline int select_scratch_floats(const MoeRouterParams& p) {
  const bool grouped = p.mode == MoeRouterMode::kDeviceLimited ||
                       p.mode == MoeRouterMode::kDeviceLimitedRenorm ||
                       p.mode == MoeRouterMode::kSigmoidBias;
  return grouped && p.topk_group < p.n_group ? p.num_experts + p.n_group : 0;
}

// Sets the scores outside of the best topk_group groups to 0.
template <int kPerLane>
__device__ void limit_groups(const MoeRouterParams& p, bool two_largest, float* scratch,
                             float (&scores)[kPerLane]) {
  if (p.topk_group >= p.n_group) return;
  const int lane = threadIdx.x % kWarp;
  const int width = p.num_experts / p.n_group;
  float* group_scores = scratch + p.num_experts;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (i * kWarp + lane < p.num_experts) scratch[i * kWarp + lane] = rank_of(scores[i]);
  }
  __syncwarp();
  for (int g = lane; g < p.n_group; g += kWarp) {
    float first = lowest(), second = lowest();
    for (int i = 0; i < width; ++i) {
      const float score = scratch[g * width + i];
      second = fmaxf(second, fminf(first, score));
      first = fmaxf(first, score);
    }
    group_scores[g] = rank_of(two_largest && width > 1 ? first + second : first);
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int e = i * kWarp + lane;
    if (e >= p.num_experts) continue;
    const int own = e / width;
    const float score = group_scores[own];
    int better = 0;
    for (int g = 0; g < p.n_group; ++g) {
      better += group_scores[g] > score || (g < own && group_scores[g] == score);
    }
    if (better >= p.topk_group) scores[i] = 0.0f;
  }
  __syncwarp();
}

// The next expert in descending order of key, lowest index first; its key becomes 0. True in the
// lane whose expert it is, number `at` of that lane's.
template <int kPerLane>
__device__ bool take_highest(unsigned (&keys)[kPerLane], int* at) {
  const int lane = threadIdx.x % kWarp;
  unsigned best = 0;
  *at = 0;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (keys[i] > best) best = keys[i], *at = i;
  }
  const bool highest = best == __reduce_max_sync(0xffffffffu, best);
  const unsigned equal = __ballot_sync(0xffffffffu, highest);
  bool own = highest;
  if ((equal & (equal - 1)) != 0) {  // more than one lane: the lowest of their experts
    const unsigned expert = highest ? *at * kWarp + lane : ~0u;
    // Not within the &&: every lane has to take part.
    const unsigned lowest_expert = __reduce_min_sync(0xffffffffu, expert);
    own = highest && expert == lowest_expert;
  }
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (own && i == *at) keys[i] = 0;
  }
  return own;
}

template <int kPerLane>
__device__ float value_at(const float (&values)[kPerLane], int at) {
  float value = 0.0f;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (i == at) value = values[i];
  }
  return value;
}

// One lane's k-th pick, for the lane k in the end.
struct Pick {
  int expert;
  float weight;
};
__device__ inline Pick no_pick() { return {-1, 0.0f}; }

// What a warp put into `picks` before a __syncwarp(): the k-th for the lane k. After it the next
// token's may be written; the shuffles up to there would not order that behind these reads.
__device__ inline Pick read_pick(int top_k, const Pick* picks) {
  const int lane = threadIdx.x % kWarp;
  const Pick pick = lane < top_k ? picks[lane] : no_pick();
  __syncwarp();
  return pick;
}

// Picks K experts by keys; the lane whose expert is the k-th puts it and its value into picks[k].
template <int kPerLane>
__device__ void pick_all(int top_k, unsigned (&keys)[kPerLane], const float (&values)[kPerLane],
                         Pick* picks) {
  const int lane = threadIdx.x % kWarp;
  for (int k = 0; k < top_k; ++k) {
    int at;
    if (take_highest(keys, &at)) picks[k] = {at * kWarp + lane, value_at(values, at)};
  }
  __syncwarp();
}

template <int kPerLane>
__device__ void pick_sparse_mixer(const MoeRouterParams& p, unsigned (&keys)[kPerLane],
                                  const float (&logits)[kPerLane], Pick* picks) {
  const int lane = threadIdx.x % kWarp;
  for (int k = 0; k < p.top_k; ++k) {
    unsigned left[kPerLane];
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) left[i] = keys[i];
    int at;
    const bool own = take_highest(keys, &at);
    const int owner = __ffs(__ballot_sync(0xffffffffu, own)) - 1;
    const float top = __shfl_sync(0xffffffffu, value_at(logits, at), owner);
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if (left[i] == 0) continue;
      const float size = fabsf(logits[i]);
      // As std::max: a NaN on the left stays, one on the right does not come in.
      const float distance = (top - logits[i]) / (size < top ? top : size);
      if (distance > 2.0f * p.epsilon) continue;
      sum += expf(logits[i] - top);
    }
    sum = warp_sum(sum);
    if (own) picks[k] = {at * kWarp + lane, 1.0f / sum};
  }
  __syncwarp();
}

// What lane k ends with is the k-th pick. picks: [32], the warp's own in shared memory.
template <int kPerLane>
__device__ Pick select_experts(const MoeRouterParams& p, const float (&logits)[kPerLane],
                               const float (&bias)[kPerLane], float* scratch, Pick* picks) {
  const int lane = threadIdx.x % kWarp;
  const bool by_logit = p.mode == MoeRouterMode::kNone || p.mode == MoeRouterMode::kRenormalize ||
                        p.mode == MoeRouterMode::kSparseMixer;
  float scores[kPerLane];  // by which experts are chosen
  float values[kPerLane];  // of which their weights are made
  float sum = 0.0f;
  if (p.mode == MoeRouterMode::kSigmoidBias) {
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      values[i] = sigmoid(logits[i]);
      scores[i] = values[i] + bias[i];
    }
    limit_groups(p, true, scratch, scores);
  } else {
    float highest = lowest();
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if (i * kWarp + lane < p.num_experts) highest = fmaxf(highest, rank_of(logits[i]));
    }
    highest = warp_max(highest);
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      values[i] = expf(logits[i] - highest);
      if (i * kWarp + lane < p.num_experts) sum += values[i];
    }
    sum = warp_sum(sum);
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) scores[i] = by_logit ? logits[i] : values[i] / sum;
    if (!by_logit) {
      limit_groups(p, false, scratch, scores);
#pragma unroll
      for (int i = 0; i < kPerLane; ++i) values[i] = scores[i];
    }
  }
  unsigned keys[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    keys[i] = i * kWarp + lane < p.num_experts ? order_key(scores[i]) : 0;
  }
  if (p.mode == MoeRouterMode::kSparseMixer) {
    pick_sparse_mixer(p, keys, logits, picks);
    return read_pick(p.top_k, picks);
  }
  pick_all(p.top_k, keys, values, picks);
  Pick pick = read_pick(p.top_k, picks);
  const float chosen = warp_sum(pick.weight);
  switch (p.mode) {
    case MoeRouterMode::kNone: pick.weight /= sum; break;
    case MoeRouterMode::kRenormalize:
    case MoeRouterMode::kDeviceLimitedRenorm: pick.weight /= chosen; break;
    case MoeRouterMode::kDeviceLimited: pick.weight *= p.scaling_factor; break;
    default:
      if (p.normalize) pick.weight /= chosen + 1e-20f;
      pick.weight *= p.scaling_factor;
  }
  return pick;
}

// Selects for token t and writes its ids (a second time to ids_copy, [K'], where that is not null),
// weights and counts; in padding, what says so. Its logits are the sums over the groups g of
// partials[g * stride + e]; they may be of this kernel's other blocks.
template <int kPerLane>
__device__ void route_token(const MoeRouterParams& p, int64_t t, bool padding,
                            const float* partials, int64_t stride, int num_groups, float* scratch,
                            int* ids_copy) {
  __shared__ Pick all_picks[kMaxSelectWarps][kWarp];
  const int lane = threadIdx.x % kWarp;
  Pick* picks = all_picks[threadIdx.x / kWarp];
  Pick pick = no_pick();
  if (!padding) {
    // Asked for before the logits: one way to memory, not two.
    const float factor = p.row_factors == nullptr ? 1.0f : p.row_factors[t];
    float bias[kPerLane];
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int e = i * kWarp + lane;
      bias[i] = p.selection_bias != nullptr && e < p.num_experts ? p.selection_bias[e] : 0.0f;
    }
    float logits[kPerLane];
#pragma unroll
    for (int i = 0; i < kPerLane; ++i)
      logits[i] = i * kWarp + lane < p.num_experts ? 0.0f : lowest();
    // As many loads under way as registers allow; added in the order of the groups.
    constexpr int kAtOnce = kPerLane <= 8 ? 32 / kPerLane : 1;
    for (int first = 0; first < num_groups; first += kAtOnce) {
      float values[kAtOnce][kPerLane];
#pragma unroll
      for (int g = 0; g < kAtOnce; ++g) {
#pragma unroll
        for (int i = 0; i < kPerLane; ++i) {
          const int e = i * kWarp + lane;
          const bool inside = first + g < num_groups && e < p.num_experts;
          values[g][i] = inside ? __ldcg(partials + (first + g) * stride + e) : 0.0f;
        }
      }
#pragma unroll
      for (int g = 0; g < kAtOnce; ++g) {
#pragma unroll
        for (int i = 0; i < kPerLane; ++i) logits[i] += values[g][i];
      }
    }
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if (i * kWarp + lane < p.num_experts) logits[i] *= factor;
    }
    pick = select_experts(p, logits, bias, scratch, picks);
  }
  const auto write = [&](int j, int expert, float weight) {
    const int64_t at = t * (p.top_k + p.num_shared) + j;
    p.expert_ids[at] = expert;
    p.weights[at] = weight;
    if (ids_copy != nullptr) ids_copy[j] = expert;
  };
  if (lane < p.top_k) {
    write(lane, pick.expert, pick.weight);
    if (!padding && p.expert_counts != nullptr) atomicAdd(p.expert_counts + pick.expert, 1ull);
  }
  if (lane < p.num_shared) {
    write(p.top_k + lane, padding ? -1 : p.num_experts + lane, padding ? 0.0f : 1.0f);
  }
}

}  // namespace glmoe::cuda
