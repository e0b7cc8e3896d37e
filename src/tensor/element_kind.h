// The element types of public tensors (glmoe/tensor.h) in the engine's own terms.
#pragma once

#include "glmoe/tensor.h"
#include "tensor/dtype.h"

namespace glmoe {

// Throws kInvalidArgument, with `what` in front, for a number that is no kind.
DType dtype_of(ElementKind kind, const char* what);

}  // namespace glmoe
