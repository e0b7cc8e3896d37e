#include "ops/linear.h"

#include "ops/checks.h"
#include "ops/packed.h"

namespace glmoe {
namespace {

using namespace ops_internal;  // NOLINT(google-build-using-namespace): this room's own helpers

void check_weight(const char* op, const char* name, const QuantView& weight, int64_t rows,
                  int64_t cols) {
  weight_type(op, name, weight);
  check_matrix(op, name, weight.codes, weight.codes.dtype, rows, cols);
}

}  // namespace

void linear(const OpContext& ctx, const TensorView& x, const QuantView& weight,
            std::span<const float> bias, const TensorView& out) {
  const WeightType type = weight_type("linear", "weight", weight);
  GLMOE_CHECK_EQ(weight.codes.shape.rank(), 2, "linear: weight");
  const int64_t num_tokens = x.shape[0], n = weight.rows(), k = weight.cols();
  check_matrix("linear", "x", x, DType::kF32, num_tokens, k);
  check_matrix("linear", "out", out, DType::kF32, num_tokens, n);
  check_optional("linear", "length of bias", bias, n);
  GLMOE_CHECK_GT(k, 0, "linear: inputs of weight");
  if (num_tokens == 0) return;

  const Workspace::Scope scope(*ctx.workspace);
  const MatmulKernels& kernels = matmul_kernels(rounds_inputs(ctx));
  const MatmulInput input{.x = pack(ctx, kernels, type, x.as<const float>(), num_tokens, k),
                          .num_tokens = num_tokens,
                          .weight = weight.codes.data,
                          .type = type,
                          .k = k};
  const MatmulOutput output{
      .out = out.as<float>(), .stride = n, .bias = bias.empty() ? nullptr : bias.data()};
  for_pieces(*ctx.team, {.rows = n, .align = 8, .work_per_row = num_tokens * k},
             [&](int64_t, int64_t begin, int64_t end) {
               matmul_rows(kernels, input, output, begin, end);
             });
}

void swiglu_mlp(const OpContext& ctx, const TensorView& x, const QuantView& gate_up,
                const QuantView& down, const TensorView& out, bool accumulate) {
  GLMOE_CHECK_EQ(x.shape.rank(), 2, "swiglu_mlp: x");
  GLMOE_CHECK_EQ(down.codes.shape.rank(), 2, "swiglu_mlp: down");
  const int64_t num_tokens = x.shape[0], width = x.shape[1], hidden = down.cols();
  check_matrix("swiglu_mlp", "x", x, DType::kF32, num_tokens, width);
  check_matrix("swiglu_mlp", "out", out, DType::kF32, num_tokens, width);
  check_weight("swiglu_mlp", "gate_up", gate_up, 2 * hidden, width);
  check_weight("swiglu_mlp", "down", down, width, hidden);
  GLMOE_CHECK(width > 0 && hidden > 0, "swiglu_mlp: empty weights");
  if (num_tokens == 0) return;

  const Workspace::Scope scope(*ctx.workspace);
  const MatmulKernels& kernels = matmul_kernels(rounds_inputs(ctx));
  const WeightType type = weight_type("swiglu_mlp", "gate_up", gate_up);
  const WeightType down_type = weight_type("swiglu_mlp", "down", down);
  const MatmulInput input{.x = pack(ctx, kernels, type, x.as<const float>(), num_tokens, width),
                          .num_tokens = num_tokens,
                          .weight = gate_up.codes.data,
                          .type = type,
                          .k = width};
  const SwigluOutput middle{.hidden = allocate_packed(ctx, num_tokens, hidden),
                            .num_hidden = hidden,
                            .next_type = down_type,
                            .round_to_bf16 = rounds_inputs(ctx)};
  for_pieces(*ctx.team,
             {.rows = hidden, .align = kSwigluAlign, .work_per_row = 2 * num_tokens * width},
             [&](int64_t, int64_t begin, int64_t end) {
               matmul_swiglu(kernels, input, middle, begin, end);
             });

  const MatmulInput down_input{.x = middle.hidden,
                               .num_tokens = num_tokens,
                               .weight = down.codes.data,
                               .type = down_type,
                               .k = hidden};
  const MatmulOutput output{.out = out.as<float>(), .stride = width, .accumulate = accumulate};
  for_pieces(*ctx.team, {.rows = width, .align = 8, .work_per_row = num_tokens * hidden},
             [&](int64_t, int64_t begin, int64_t end) {
               matmul_rows(kernels, down_input, output, begin, end);
             });
}

}  // namespace glmoe
