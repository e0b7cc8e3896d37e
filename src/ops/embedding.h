// Rows of the embedding table.
#pragma once

#include <cstdint>
#include <span>

#include "ops/op_context.h"

namespace glmoe {

// out[t] = table[ids[t]], widened to F32. ids: T values in [0, V); table: [V, H]; out: [T, H] F32.
// kInternal where an id is out of range (requests are checked long before).
void embedding(const OpContext& ctx, std::span<const int32_t> ids, const QuantView& table,
               const TensorView& out);

}  // namespace glmoe
