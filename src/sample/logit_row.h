// One row of logits [V] and what is asked of it again and again: its maximum, NaN, its most likely
// tokens, ranks. Order everywhere in this room: higher logit first, lower id on ties.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace glmoe {

struct Candidate {
  float logit;
  int32_t id;
  bool before(const Candidate& other) const {
    return logit > other.logit || (logit == other.logit && id < other.id);
  }
};

// After every token with a logit above -infinity, before all others.
inline constexpr Candidate kAllTokens{std::numeric_limits<float>::lowest(),
                                      std::numeric_limits<int32_t>::max()};

// A view of the row and the maximum of each block of kBlock logits: most questions are answered by
// the few blocks whose maximum is high. The logits stay the caller's and must not change meanwhile.
class LogitRow {
 public:
  static constexpr size_t kBlock = 256;

  // One pass over the row, at least one logit.
  explicit LogitRow(std::span<const float> logits);

  std::span<const float> logits() const { return logits_; }
  int64_t size() const { return static_cast<int64_t>(logits_.size()); }
  bool has_nan() const { return has_nan_; }
  int32_t first_nan() const;
  // The first highest logit (meaningless with NaN).
  Candidate best() const { return best_; }

  size_t num_blocks() const { return block_max_.size(); }
  std::span<const float> block(size_t index) const;
  float block_max(size_t index) const { return block_max_[index]; }

  // The k first tokens in order; fewer where fewer are above -infinity. Fast for k up to
  // num_blocks().
  std::vector<Candidate> top(int64_t k) const;
  // Tokens above -infinity with at least this logit, by id.
  std::vector<Candidate> at_least(float logit) const;
  // 1 + the number of tokens before `candidate`.
  int64_t rank(const Candidate& candidate) const;

 private:
  std::span<const float> logits_;
  std::vector<float> block_max_;
  Candidate best_{};
  bool has_nan_ = false;
};

}  // namespace glmoe
