// top_k, top_p and min_p without sorting the vocabulary.
//
// Each keeps a run of first tokens (in the room's order), so all three together are one token: the
// last that is kept.
#pragma once

#include "sample/logit_row.h"

namespace glmoe {

struct Truncation {
  float temperature = 1.0f;
  int64_t top_k = 0;   // 0: all
  float top_p = 1.0f;  // the shortest run with at least this share of what top_k kept
  float min_p = 0.0f;  // tokens with at least this share of the first token's probability
};

// The last kept token (kAllTokens, or a token that is not in the row, where a filter names only a
// bound). The row's maximum is finite; the first token is always kept. Linear in V on average: a
// histogram over logits, then a partial selection inside one of its buckets.
Candidate last_kept(const LogitRow& row, const Truncation& truncation);

}  // namespace glmoe
