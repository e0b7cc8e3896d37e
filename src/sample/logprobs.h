// Natural log-probabilities of one position, as callers see them.
#pragma once

#include "sample/logit_row.h"
#include "step/step.h"

namespace glmoe {

// `token_id` first, then the `num_alternatives` most likely other tokens (fewer where fewer
// have a probability), each with its rank among all of the row, 1 for the most likely; ties rank by
// id. The row has no NaN and a maximum above -infinity; where the maximum is +infinity, the tokens
// at +infinity share the probability.
PositionLogprobs position_logprobs(const LogitRow& row, int32_t token_id, int64_t num_alternatives);

}  // namespace glmoe
