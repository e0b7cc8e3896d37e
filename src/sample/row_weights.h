// The unnormalised probabilities of a row at one temperature, and a draw from them.
#pragma once

#include <vector>

#include "sample/logit_row.h"

namespace glmoe {

// exp((l - maximum) * inverse_temperature) of one block into weights[LogitRow::kBlock], 0 for
// tokens after `last` and behind the row's end. The row's maximum must be finite.
void weigh_block(const LogitRow& row, size_t block, float inverse_temperature,
                 const Candidate& last, float* weights);

class RowWeights {
 public:
  // `last`: the last token, in the room's order, that takes part. `row` must outlive this.
  RowWeights(const LogitRow& row, float temperature, const Candidate& last = kAllTokens);
  double total() const { return total_; }
  // The token, by id, at which the running sum exceeds u * total; u in [0, 1).
  int32_t draw(double u) const;

 private:
  const LogitRow& row_;
  float inverse_temperature_;
  Candidate last_;
  std::vector<double> block_sums_;
  double total_ = 0.0;
};

}  // namespace glmoe
