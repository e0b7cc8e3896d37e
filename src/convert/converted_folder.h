// A converted folder: config.json with "mapping", "quantization" and "source", and a
// rankN.safetensors for each rank.
#pragma once

#include <string>

#include "artifact/tensor_source.h"
#include "base/json.h"

namespace glmoe {

std::string converted_rank_file(int64_t rank);  // "rank0.safetensors"

// config.json of a converted folder.
Json converted_config(const Glm4MoeConfig& config, const Mapping& mapping, DType dtype,
                      const std::string& source_kind, const std::string& source_fingerprint);

// The full tensors, stitched from all ranks. Throws kCorrupt with all reasons at once.
TensorSource open_converted(const std::string& path);

}  // namespace glmoe
