// Finds every logical tensor of the weight plan in a Hugging Face folder: layouts chosen, names,
// types and shapes checked, left-over tensors refused.
#pragma once

#include <memory>

#include "artifact/tensor_source.h"
#include "checkpoint/hf_folder.h"

namespace glmoe {

// Throws kCorrupt naming all tensors that are missing, of another shape, or left over (the first of
// each, and how many); kUnsupported for quantised checkpoints and element types other than F32,
// F16 and BF16. MTP layers are optional as a whole: plan.config.num_nextn_predict_layers of the
// result counts those that are there.
TensorSource resolve_source(std::shared_ptr<const HfFolder> folder);

}  // namespace glmoe
