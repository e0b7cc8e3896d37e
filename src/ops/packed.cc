#include "ops/packed.h"

#include "ops/checks.h"

namespace glmoe::ops_internal {

WeightType weight_type(const char* op, const char* name, const QuantView& weight) {
  GLMOE_CHECK(weight.format == QuantFormat::kPlain, "{}: {}: only plain weights", op, name);
  GLMOE_CHECK(!weight.empty(), "{}: {} has no memory", op, name);
  switch (weight.codes.dtype) {
    case DType::kF32: return WeightType::kF32;
    case DType::kBF16: return WeightType::kBF16;
    case DType::kF16: return WeightType::kF16;
    default:
      fail(ErrorCode::kInternal, "{}: type of {}: wanted F32, BF16 or F16, found {}", op, name,
           dtype_name(weight.codes.dtype));
  }
}

PackedTokens allocate_packed(const OpContext& ctx, int64_t rows, int64_t k) {
  const size_t row_bytes = packed_row_bytes(k);
  return {ctx.workspace->allocate_bytes(static_cast<size_t>(rows) * row_bytes), row_bytes};
}

PackedTokens pack(const OpContext& ctx, const MatmulKernels& kernels, WeightType type,
                  const float* x, int64_t rows, int64_t k) {
  const PackedTokens packed = allocate_packed(ctx, rows, k);
  constexpr int64_t kGrain = 16;
  ctx.team->parallel_for(rows, kGrain, [&](int64_t begin, int64_t end, int) {
    const PackedTokens part{packed.data + static_cast<size_t>(begin) * packed.row_bytes,
                            packed.row_bytes};
    pack_tokens(kernels, type, rounds_inputs(ctx), x + begin * k, k, end - begin, k, part);
  });
  return packed;
}

}  // namespace glmoe::ops_internal
