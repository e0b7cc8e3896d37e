// config.json to Glm4MoeConfig and back.
#pragma once

#include <string>

#include "base/json.h"
#include "glmoe/config.h"

namespace glmoe {

// Accepts the file as Hugging Face publishes it (either spelling of the RoPE fields), the generic
// form ("num_experts", "top_k", ...; the same fields may stand in an object "moe") and what
// config_to_json writes. `what` names the file in messages. The result is validated.
// Throws kUnsupported for another architecture, activation or RoPE scaling, kCorrupt for a wrong
// type, a missing field or a value out of range; each names the field.
Glm4MoeConfig config_from_json(const Json& json, const std::string& what);

// Reads back equal. The converter adds "mapping" beside.
Json config_to_json(const Glm4MoeConfig& config);

// Throws kUnsupported where the checkpoint's weights are quantised.
void require_plain_checkpoint(const Glm4MoeConfig& config);

}  // namespace glmoe
