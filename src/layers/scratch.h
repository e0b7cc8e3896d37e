// Tensors in the step's workspace.
#pragma once

#include "ops/op_context.h"

namespace glmoe {

// Uninitialised; lives until the enclosing Workspace::Scope ends.
inline TensorView scratch_f32(const OpContext& ctx, const Shape& shape) {
  return {.data = ctx.workspace->allocate<float>(shape.num_elements()),
          .dtype = DType::kF32,
          .shape = shape};
}

}  // namespace glmoe
