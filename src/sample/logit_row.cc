#include "sample/logit_row.h"

#include <algorithm>
#include <functional>

#include "base/check.h"

namespace glmoe {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 16;  // independent partial results, so that the compiler may use SIMD

bool comes_before(const Candidate& a, const Candidate& b) { return a.before(b); }

// Maximum of a block; `nan` becomes true where it holds a NaN.
float block_maximum(std::span<const float> block, bool& nan) {
  float lane_max[kLanes];
  int lane_nan[kLanes] = {};
  std::fill(lane_max, lane_max + kLanes, kMinusInfinity);
  size_t i = 0;
  for (; i + kLanes <= block.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float value = block[i + lane];
      lane_max[lane] = value > lane_max[lane] ? value : lane_max[lane];
      lane_nan[lane] |= value != value ? 1 : 0;
    }
  }
  for (size_t lane = 0; i < block.size(); ++i, ++lane) {
    lane_max[lane] = block[i] > lane_max[lane] ? block[i] : lane_max[lane];
    lane_nan[lane] |= block[i] != block[i] ? 1 : 0;
  }
  for (const int lane : lane_nan) nan |= lane != 0;
  return *std::max_element(lane_max, lane_max + kLanes);
}

}  // namespace

LogitRow::LogitRow(std::span<const float> logits) : logits_(logits) {
  GLMOE_CHECK(!logits.empty());
  block_max_.resize((logits.size() + kBlock - 1) / kBlock);
  size_t best_block = 0;
  for (size_t b = 0; b < num_blocks(); ++b) {
    block_max_[b] = block_maximum(block(b), has_nan_);
    if (block_max_[b] > block_max_[best_block]) best_block = b;
  }
  const std::span<const float> values = block(best_block);
  const auto found = std::find(values.begin(), values.end(), block_max_[best_block]);
  const size_t offset = found == values.end() ? 0 : static_cast<size_t>(found - values.begin());
  best_ = {block_max_[best_block], static_cast<int32_t>(best_block * kBlock + offset)};
}

std::span<const float> LogitRow::block(size_t index) const {
  const size_t begin = index * kBlock;
  return logits_.subspan(begin, std::min(kBlock, logits_.size() - begin));
}

int32_t LogitRow::first_nan() const {
  const auto found = std::find_if(logits_.begin(), logits_.end(), [](float l) { return l != l; });
  return static_cast<int32_t>(found - logits_.begin());
}

std::vector<Candidate> LogitRow::at_least(float logit) const {
  std::vector<Candidate> found;
  for (size_t b = 0; b < num_blocks(); ++b) {
    if (block_max_[b] < logit || block_max_[b] == kMinusInfinity) continue;
    const std::span<const float> values = block(b);
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] >= logit && values[i] > kMinusInfinity) {
        found.push_back({values[i], static_cast<int32_t>(b * kBlock + i)});
      }
    }
  }
  return found;
}

std::vector<Candidate> LogitRow::top(int64_t k) const {
  if (k <= 0) return {};
  const auto count = static_cast<size_t>(k);
  float bound = kMinusInfinity;
  if (count <= num_blocks()) {
    // The k-th highest block maximum: at least k logits reach it, so the k-th logit does.
    std::vector<float> maxima = block_max_;
    const auto kth = maxima.begin() + (k - 1);
    std::nth_element(maxima.begin(), kth, maxima.end(), std::greater<>());
    bound = *kth;
  }
  std::vector<Candidate> found = at_least(bound);
  if (found.size() > count) {
    std::nth_element(found.begin(), found.begin() + (k - 1), found.end(), comes_before);
    found.resize(count);
  }
  std::sort(found.begin(), found.end(), comes_before);
  return found;
}

int64_t LogitRow::rank(const Candidate& candidate) const {
  int64_t before = 0;
  for (size_t b = 0; b < num_blocks(); ++b) {
    if (block_max_[b] < candidate.logit) continue;
    const std::span<const float> values = block(b);
    for (size_t i = 0; i < values.size(); ++i) {
      const Candidate other{values[i], static_cast<int32_t>(b * kBlock + i)};
      before += other.before(candidate) ? 1 : 0;
    }
  }
  return before + 1;
}

}  // namespace glmoe
