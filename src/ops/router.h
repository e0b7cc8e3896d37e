// The MoE router: which experts a token goes to, with which weights. F32 throughout.
#pragma once

#include <cstdint>
#include <span>

#include "glmoe/config.h"
#include "ops/op_context.h"

namespace glmoe {

// Experts of each token, in the order of descending selection score (lowest index first on ties).
struct Routing {
  TensorView expert_ids;  // [T, K] I32
  TensorView weights;     // [T, K] F32, final: normalised and scaled as the mode says
};

// logits = x Wr^T in F32 (never rounded), then scores, selection and weights by config's mode
// (model_spec 2.4; the other modes as TensorRT-LLM's tensorrt_llm/layers/moe.py defines them).
// x: [T, H] F32; weight: [E, H] F32; selection_bias: [E] or empty.
void route(const OpContext& ctx, const TensorView& x, const QuantView& weight,
           std::span<const float> selection_bias, const MoeConfig& config, const Routing& routing);

// The second half alone: logits [T, E] F32 -> routing.
void select_experts(const OpContext& ctx, const TensorView& logits,
                    std::span<const float> selection_bias, const MoeConfig& config,
                    const Routing& routing);

// Adds to counts [E] how many tokens each expert got.
void count_experts(const Routing& routing, std::span<uint64_t> counts);

}  // namespace glmoe
