// From a folder to everything that the engine needs, whichever kind of folder it is.
#pragma once

#include <memory>
#include <string>

#include "base/thread_team.h"
#include "glmoe/llm.h"
#include "step/sampling_resolve.h"
#include "weights/loaded_weights.h"

namespace glmoe {

struct LoadedModel {
  Glm4MoeConfig config;
  std::shared_ptr<const LoadedWeights> weights;
  DType dtype = DType::kBF16;  // of the matrices
  SamplingDefaults sampling_defaults;
  std::string folder;       // with tokenizer and template; empty for dummy weights
  std::string source_kind;  // "Hugging Face folder", "converted folder", "engine", "state_dict ..."
  double load_ms = 0.0;
};

// Throws with everything that is wrong with the folder. Where `on_gpu`, dummy weights are left to
// the GPU: the model comes without any.
LoadedModel load_model(const LlmOptions& options, ThreadTeam& team, bool on_gpu = false);

}  // namespace glmoe
