// What one step must at least read and compute, from shapes and the routing that was counted: the
// floor that benches hold their times against.
#pragma once

#include <cstdint>
#include <vector>

#include "glmoe/config.h"
#include "spec/memory_plan.h"

namespace glmoe {

// Bytes that one step reads: every weight outside the routed experts (of the embedding nothing, it
// is one row a token), `experts` routed experts (summed over the layers, each counted once however
// many tokens went to it), and K and V of `kv_tokens` positions (summed over the sequences).
double step_bytes(const Glm4MoeConfig& config, const MemoryPlan& plan, double experts,
                  double kv_tokens);

// Floating-point operations of a step of `num_sequences` tokens, one each, with `context` positions
// in the cache on average, their own included; counted as prefill_flops() does.
double decode_flops(const Glm4MoeConfig& config, double num_sequences, double context);

// Experts that got a token between two readings of the counters, summed over the layers. The
// readings have the same shape.
int64_t experts_between(const std::vector<std::vector<uint64_t>>& before,
                        const std::vector<std::vector<uint64_t>>& after);

// Microseconds: of reading and computing the one that takes longer. A rate of 0 sets no floor.
double floor_us(double bytes, double flops, double read_gb_per_s, double matrix_tflop_per_s);

}  // namespace glmoe
