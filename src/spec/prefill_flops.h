// Floating-point operations of a prefill, from shapes alone: for rates in benches.
#pragma once

#include <cstdint>

#include "glmoe/config.h"

namespace glmoe {

// Of one sequence of T = num_tokens tokens whose last row alone gets logits, as the model runs it
// (model/glm4_moe.cc), whether in one chunk or several. A multiply-add is two. Counted are matrix
// products and attention:
//   each layer, T rows        qkv 2 T H (Hq + 2 Hkv) D, o 2 T Hq D H
//   each layer, causal pairs  scores and weighted sum 4 Hq D T (T + 1) / 2
//   dense layer, its rows     6 H F
//   MoE layer, its rows       router 2 H E, K experts 6 H I each, shared expert 6 H S
//   head, one row             2 H V
// "Its rows" are T, but in the last layer 1: the other rows end with that layer's attention. Norms,
// rotary embedding, softmax and the gathering of rows (less than 1 % of it) are not counted.
// Requires a valid configuration and num_tokens >= 1.
double prefill_flops(const Glm4MoeConfig& config, int64_t num_tokens);

}  // namespace glmoe
