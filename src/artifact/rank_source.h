// Full logical tensors from what ranks hold: the stitching of converted folders and engines.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "artifact/tensor_source.h"

namespace glmoe {

using RankViews = std::map<std::string, TensorView>;  // by logical name

// Checks every rank against the plan of `config` (missing, left-over, type, shape) and adds what is
// wrong to `reasons`; the pieces are complete only where nothing was added. Sets plan, mapping,
// dtype and pieces of the result; pieces have no origin.
TensorSource source_from_ranks(const Glm4MoeConfig& config, const Mapping& mapping, DType dtype,
                               const std::vector<RankViews>& ranks,
                               std::vector<std::string>& reasons);

}  // namespace glmoe
