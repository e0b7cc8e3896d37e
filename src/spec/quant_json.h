// The "quantization" object of our own files and the "quantization_config" of published ones.
#pragma once

#include "base/json.h"
#include "glmoe/quantization.h"

namespace glmoe {

// Our own spelling: quant_algo, kv_cache_quant_algo, group_size, exclude_modules, ...
QuantConfig quantization_from_json(const JsonReader& reader);
Json quantization_to_json(const QuantConfig& config);

// Hugging Face's: quant_method fp8, compressed-tensors, modelopt, awq or gptq with each one's own
// fields. Throws kUnsupported for a method or a format that is none of these.
QuantConfig quantization_from_published(const JsonReader& reader);

}  // namespace glmoe
