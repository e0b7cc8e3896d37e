#include "ops/norm.h"

#include "kernels/cpu/norm/norm.h"
#include "ops/checks.h"

namespace glmoe {
namespace {

using ops_internal::check_matrix;

// Rows of some 16 KiB: fewer than this are done before a thread wakes up.
constexpr int64_t kRowGrain = 8;

}  // namespace

void rms_norm(const OpContext& ctx, const TensorView& x, std::span<const float> gamma, float eps,
              const TensorView& out) {
  const auto width = static_cast<int64_t>(gamma.size());
  const int64_t num_rows = out.shape.rank() == 2 ? out.shape[0] : 0;
  check_matrix("rms_norm", "out", out, DType::kF32, num_rows, width);
  check_matrix("rms_norm", "x", x, DType::kF32, num_rows, width);
  ctx.team->parallel_for(num_rows, kRowGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      kernels::rms_norm_row(x.as<float>() + t * width, gamma.data(), width, eps,
                            out.as<float>() + t * width);
    }
  });
}

void add_rms_norm(const OpContext& ctx, const TensorView& residual, const TensorView& delta,
                  std::span<const float> gamma, float eps, const TensorView& out) {
  const auto width = static_cast<int64_t>(gamma.size());
  const int64_t num_rows = out.shape.rank() == 2 ? out.shape[0] : 0;
  check_matrix("add_rms_norm", "out", out, DType::kF32, num_rows, width);
  check_matrix("add_rms_norm", "residual", residual, DType::kF32, num_rows, width);
  check_matrix("add_rms_norm", "delta", delta, DType::kF32, num_rows, width);
  ctx.team->parallel_for(num_rows, kRowGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      kernels::add_rms_norm_row(residual.as<float>() + t * width, delta.as<float>() + t * width,
                                gamma.data(), width, eps, out.as<float>() + t * width);
    }
  });
}

}  // namespace glmoe
