#include "sample/row_weights.h"

#include <algorithm>

#include "sample/exp.h"

namespace glmoe {
namespace {

constexpr size_t kLanes = 16;  // independent partial sums, so that the compiler may use SIMD

double sum_of_block(const float* weights) {
  float lane_sum[kLanes] = {};
  for (size_t i = 0; i < LogitRow::kBlock; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lane_sum[lane] += weights[i + lane];
  }
  double sum = 0.0;
  for (const float lane : lane_sum) sum += static_cast<double>(lane);
  return sum;
}

}  // namespace

void weigh_block(const LogitRow& row, size_t block, float inverse_temperature,
                 const Candidate& last, float* weights) {
  const std::span<const float> logits = row.block(block);
  const float maximum = row.best().logit;
  for (size_t i = 0; i < logits.size(); ++i) {
    weights[i] = exp_nonpositive((logits[i] - maximum) * inverse_temperature);
  }
  std::fill(weights + logits.size(), weights + LogitRow::kBlock, 0.0f);
  if (last.logit <= kAllTokens.logit) return;  // -infinity has weight 0 already
  for (size_t i = 0; i < logits.size(); ++i) {
    const Candidate token{logits[i], static_cast<int32_t>(block * LogitRow::kBlock + i)};
    if (last.before(token)) weights[i] = 0.0f;
  }
}

RowWeights::RowWeights(const LogitRow& row, float temperature, const Candidate& last)
    : row_(row), inverse_temperature_(1.0f / temperature), last_(last) {
  float weights[LogitRow::kBlock];
  block_sums_.resize(row.num_blocks());
  for (size_t b = 0; b < row.num_blocks(); ++b) {
    if (row.block_max(b) < last.logit) continue;
    weigh_block(row, b, inverse_temperature_, last, weights);
    block_sums_[b] = sum_of_block(weights);
    total_ += block_sums_[b];
  }
}

int32_t RowWeights::draw(double u) const {
  double rest = u * total_;
  size_t chosen_block = 0;  // the last one with weight, should rounding carry `rest` past the end
  for (size_t b = 0; b < block_sums_.size(); ++b) {
    if (block_sums_[b] <= 0.0) continue;
    chosen_block = b;
    if (rest < block_sums_[b]) break;
    rest -= block_sums_[b];
  }
  float weights[LogitRow::kBlock];
  weigh_block(row_, chosen_block, inverse_temperature_, last_, weights);
  size_t chosen = 0;
  for (size_t i = 0; i < LogitRow::kBlock; ++i) {
    if (weights[i] <= 0.0f) continue;
    chosen = i;
    rest -= static_cast<double>(weights[i]);
    if (rest < 0.0) break;
  }
  return static_cast<int32_t>(chosen_block * LogitRow::kBlock + chosen);
}

}  // namespace glmoe
