// Log-probabilities of a token of a row and of the most likely others, with their ranks.
#pragma once

#include "kernels/cuda/sample/draw.cuh"
#include "kernels/cuda/sample/select.cuh"

namespace glmoe::cuda {

// Writes the token, then up to num_alternatives others (fewer where fewer have a probability), to
// `out`; block 0's warp 0 gets their number. All threads of the cluster call it, once, after the
// row's best is known; it is neither NaN nor -infinity.
__device__ inline int write_logprobs(const Cluster& cluster, Slice& s, int32_t token_id,
                                     int num_alternatives, SampleLogprob* out) {
  const bool infinite = s.best == plus_infinity();
  if (!infinite) sum_blocks(cluster, s, 1.0f, all_tokens());
  Candidate last_top{plus_infinity(), -1};  // before all tokens
  if (num_alternatives > 0) {
    last_top = Selector(cluster, s, 1.0f, all_tokens()).reach_count(num_alternatives + 1);
  }
  const float* slice = cluster.map_shared_rank(s.logits, token_id / s.num_logits());
  const Candidate token{slice[token_id % s.num_logits()], token_id};
  SampleSpace& first = *cluster.map_shared_rank(s.space, 0);
  int num_before = 0;
  int num_infinite = 0;
  const auto skip = [&](float maximum) { return maximum < fminf(token.logit, last_top.logit); };
  for_each_token(s, skip, [&](float logit, int32_t id) {
    const Candidate other{logit, id};
    num_before += other.before(token) ? 1 : 0;
    num_infinite += logit == plus_infinity() ? 1 : 0;
    if (num_alternatives > 0 && !last_top.before(other)) {
      first.top[atomicAdd(&first.num_top, 1)] = other;
    }
  });
  num_before = __reduce_add_sync(0xffffffffu, num_before);
  num_infinite = __reduce_add_sync(0xffffffffu, num_infinite);
  if (threadIdx.x % 32 == 0) {
    atomicAdd(&first.num_before, num_before);
    atomicAdd(&first.num_infinite, num_infinite);
  }
  cluster.sync();
  if (s.rank != 0 || threadIdx.x >= 32) return 0;
  const int lane = threadIdx.x;
  double total = 0.0;
  if (lane == 0) {
    // In the host's order: beside a near certain token all of the logarithm is rounding.
    total = log(infinite ? static_cast<double>(first.num_infinite)
                         : sum_in_order(s.block_sums(), kSampleCluster * s.num_blocks));
  }
  total = __shfl_sync(0xffffffffu, total, 0);
  const auto logprob = [&](float logit) {
    const double below =
        logit == s.best ? 0.0 : __dsub_rn(static_cast<double>(logit), static_cast<double>(s.best));
    return __double2float_rn(__dsub_rn(below, total));
  };
  if (lane == 0) out[0] = {token_id, logprob(token.logit), first.num_before + 1};
  bool written = false;
  if (lane < first.num_top && first.top[lane].id != token_id) {
    const Candidate own = first.top[lane];
    int rank = 1;
    for (int i = 0; i < first.num_top; ++i) rank += first.top[i].before(own) ? 1 : 0;
    const int place = token.before(own) ? rank - 1 : rank;
    const float value = logprob(own.logit);
    written = place <= num_alternatives && !isinf(value);
    if (written) out[place] = {own.id, value, rank};
  }
  return 1 + __popc(__ballot_sync(0xffffffffu, written));
}

}  // namespace glmoe::cuda
