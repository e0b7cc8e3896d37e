// The model's weights as the forward pass reads them: typed views into memory that LoadedWeights
// owns.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace glmoe {

// Dimensions: H hidden, V vocabulary, D head size, Hq/Hkv heads, F dense width, I expert width,
// E experts, S shared width (I * num_shared_experts). Vectors and the router are F32 always.
struct MlpWeights {
  QuantView gate_up;  // [2F, H]: rows 0..F-1 gate, F..2F-1 up
  QuantView down;     // [H, F]
};

struct MoeWeights {
  QuantView router;                       // [E, H] F32
  std::span<const float> selection_bias;  // [E], empty where the model has none
  QuantView experts_gate_up;              // [E, 2I, H]
  QuantView experts_down;                 // [E, H, I]
  std::optional<MlpWeights> shared;       // width S
};

struct LayerWeights {
  std::span<const float> input_norm;           // [H]
  QuantView qkv;                               // [(Hq + 2 Hkv) D, H]: q rows, k rows, v rows
  std::span<const float> qkv_bias;             // [(Hq + 2 Hkv) D] or empty
  std::span<const float> q_norm, k_norm;       // [D] or empty
  QuantView o;                                 // [H, Hq D]
  std::span<const float> post_attention_norm;  // [H]
  std::optional<MlpWeights> mlp;               // exactly one of mlp and moe
  std::optional<MoeWeights> moe;
};

// One MTP layer (model_spec: NextN). Carried by converter and engine; not yet run.
struct MtpWeights {
  std::span<const float> enorm, hnorm;  // [H]
  QuantView eh_proj;                    // [H, 2H]: columns 0..H-1 embedding, H..2H-1 hidden state
  LayerWeights layer;
  std::span<const float> final_norm;  // [H]
  QuantView embedding, head;          // [V, H]; the trunk's own where the checkpoint has no copy
};

struct Glm4MoeWeights {
  QuantView embedding;                // [V, H]
  std::vector<LayerWeights> layers;   // L
  std::span<const float> final_norm;  // [H]
  QuantView lm_head;                  // [V, H]; the embedding where tied
  std::vector<MtpWeights> mtp;
};

}  // namespace glmoe
