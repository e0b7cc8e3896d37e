#include "ops/embedding.h"

#include "ops/checks.h"

namespace glmoe {

void embedding(const OpContext& ctx, std::span<const int32_t> ids, const QuantView& table,
               const TensorView& out) {
  constexpr const char* kOp = "embedding";
  GLMOE_CHECK(table.format == QuantFormat::kPlain && table.codes.shape.rank() == 2 &&
                  ops_internal::is_float_kind(table.codes.dtype),
              "{}: table: wanted a plain F32, BF16 or F16 matrix, found {} {}", kOp,
              dtype_name(table.codes.dtype), table.codes.shape.to_string());
  const auto num_tokens = static_cast<int64_t>(ids.size());
  const int64_t width = table.cols();
  ops_internal::check_matrix(kOp, "out", out, DType::kF32, num_tokens, width);
  for (int64_t t = 0; t < num_tokens; ++t) {
    const int32_t id = ids[static_cast<size_t>(t)];
    GLMOE_CHECK(id >= 0 && id < table.rows(), "{}: id of token {}: wanted 0 to {}, found {}", kOp,
                t, table.rows() - 1, id);
  }
  const size_t row_bytes = static_cast<size_t>(width) * dtype_size(table.codes.dtype);
  // A row is a few KiB: threads pay off from some dozen rows on.
  ctx.team->parallel_for(num_tokens, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const auto id = static_cast<size_t>(ids[static_cast<size_t>(t)]);
      convert_elements(table.codes.as<const std::byte>() + id * row_bytes, table.codes.dtype,
                       out.as<float>() + t * width, DType::kF32, static_cast<size_t>(width));
    }
  });
}

}  // namespace glmoe
