#include "ops/moe.h"

#include <algorithm>
#include <cstring>

#include "ops/checks.h"
#include "ops/linear.h"
#include "ops/packed.h"

namespace glmoe {
namespace {

using namespace ops_internal;  // NOLINT(google-build-using-namespace): this room's own helpers

struct Sizes {
  int64_t num_tokens, top_k, num_experts, width, hidden;  // T, K, E, H, I
};

Sizes check(const char* op, const TensorView& x, const Routing& routing, const ExpertsView& experts,
            const TensorView& out) {
  GLMOE_CHECK_EQ(x.shape.rank(), 2, "{}: x", op);
  GLMOE_CHECK_EQ(routing.expert_ids.shape.rank(), 2, "{}: expert_ids", op);
  GLMOE_CHECK_EQ(experts.gate_up.codes.shape.rank(), 3, "{}: gate_up", op);
  GLMOE_CHECK_EQ(experts.down.codes.shape.rank(), 3, "{}: down", op);
  const Sizes s{x.shape[0], routing.expert_ids.shape[1], experts.down.codes.shape[0], x.shape[1],
                experts.down.cols()};
  check_matrix(op, "x", x, DType::kF32, s.num_tokens, s.width);
  check_matrix(op, "out", out, DType::kF32, s.num_tokens, s.width);
  check_matrix(op, "expert_ids", routing.expert_ids, DType::kI32, s.num_tokens, s.top_k);
  check_matrix(op, "weights", routing.weights, DType::kF32, s.num_tokens, s.top_k);
  check_dim(op, "experts of gate_up", experts.gate_up.codes.shape[0], s.num_experts);
  check_dim(op, "rows of gate_up", experts.gate_up.rows(), 2 * s.hidden);
  check_dim(op, "inputs of gate_up", experts.gate_up.cols(), s.width);
  check_dim(op, "rows of down", experts.down.rows(), s.width);
  GLMOE_CHECK(s.width > 0 && s.hidden > 0 && s.top_k > 0, "{}: empty weights or routing", op);
  const auto* ids = routing.expert_ids.as<const int32_t>();
  for (int64_t i = 0; i < s.num_tokens * s.top_k; ++i) {
    GLMOE_CHECK(ids[i] >= 0 && ids[i] < s.num_experts, "{}: expert of slot {}: {} of {}", op, i,
                ids[i], s.num_experts);
  }
  return s;
}

// out[t][h] (+)= sum over the token's slots, in order, of weight * contribution, for the columns
// [begin, end) of out. contributions: [T * K][stride], its first column is `begin`.
void weighted_sum(const Sizes& s, const Routing& routing, const float* contributions,
                  int64_t stride, int64_t t, int64_t begin, int64_t end, float* out,
                  bool accumulate) {
  const float* weights = routing.weights.as<const float>() + t * s.top_k;
  constexpr int64_t kBlock = 64;
  for (int64_t h0 = begin; h0 < end; h0 += kBlock) {
    const int64_t count = std::min(kBlock, end - h0);
    float sum[kBlock] = {};
    for (int64_t j = 0; j < s.top_k; ++j) {
      const float* row = contributions + (t * s.top_k + j) * stride + (h0 - begin);
      for (int64_t i = 0; i < count; ++i) sum[i] += weights[j] * row[i];
    }
    float* target = out + t * s.width + h0;
    for (int64_t i = 0; i < count; ++i) target[i] = accumulate ? target[i] + sum[i] : sum[i];
  }
}

// Slots (t * K + j) sorted by expert, in the order of t and j within one.
struct SortedSlots {
  int32_t* slots;   // [T * K]
  int32_t* tokens;  // [T * K], token of each
  int32_t* active;  // experts that have any
  int64_t num_active = 0;
  int64_t* begin;  // [E + 1]
};

SortedSlots sort_slots(const OpContext& ctx, const Sizes& s, const int32_t* ids) {
  const int64_t num_slots = s.num_tokens * s.top_k;
  SortedSlots sorted{.slots = ctx.workspace->allocate<int32_t>(num_slots),
                     .tokens = ctx.workspace->allocate<int32_t>(num_slots),
                     .active = ctx.workspace->allocate<int32_t>(s.num_experts),
                     .begin = ctx.workspace->allocate<int64_t>(s.num_experts + 1)};
  std::fill_n(sorted.begin, s.num_experts + 1, int64_t{0});
  for (int64_t i = 0; i < num_slots; ++i) ++sorted.begin[ids[i] + 1];
  for (int64_t e = 0; e < s.num_experts; ++e) {
    if (sorted.begin[e + 1] > 0) sorted.active[sorted.num_active++] = static_cast<int32_t>(e);
    sorted.begin[e + 1] += sorted.begin[e];
  }
  auto* next = ctx.workspace->allocate<int64_t>(s.num_experts);
  std::copy_n(sorted.begin, s.num_experts, next);
  for (int64_t i = 0; i < num_slots; ++i) {
    const int64_t place = next[ids[i]]++;
    sorted.slots[place] = static_cast<int32_t>(i);
    sorted.tokens[place] = static_cast<int32_t>(i / s.top_k);
  }
  return sorted;
}

// Row `row` of matrix e of a stack.
const void* matrix_data(const QuantView& stack, int64_t e, int64_t row) {
  const int64_t index = (e * stack.rows() + row) * stack.cols();
  return stack.codes.as<const std::byte>() +
         static_cast<size_t>(index) * dtype_size(stack.codes.dtype);
}

// Columns of out computed at a time, so that the contributions of all slots stay in the cache.
int64_t columns_at_a_time(const Sizes& s) {
  constexpr int64_t kMaxContributions = int64_t{2} << 20;  // floats: 8 MiB
  const int64_t fitting = kMaxContributions / (s.num_tokens * s.top_k) / kMaxMatmulRows;
  return std::min(s.width, std::max<int64_t>(fitting, 2) * kMaxMatmulRows);
}

}  // namespace

void grouped_experts(const OpContext& ctx, const TensorView& x, const Routing& routing,
                     const ExpertsView& experts, const TensorView& out, bool accumulate) {
  const Sizes s = check("grouped_experts", x, routing, experts, out);
  if (s.num_tokens == 0) return;
  const Workspace::Scope scope(*ctx.workspace);
  const bool rounds = rounds_inputs(ctx);
  const MatmulKernels& kernels = matmul_kernels(rounds);
  const WeightType type = weight_type("grouped_experts", "gate_up", experts.gate_up);
  const WeightType down_type = weight_type("grouped_experts", "down", experts.down);
  const SortedSlots sorted = sort_slots(ctx, s, routing.expert_ids.as<const int32_t>());
  const int64_t num_slots = s.num_tokens * s.top_k;
  const int64_t per_expert = (num_slots + sorted.num_active - 1) / sorted.num_active;

  const PackedTokens packed = pack(ctx, kernels, type, x.as<const float>(), s.num_tokens, s.width);
  const PackedTokens hidden = allocate_packed(ctx, num_slots, s.hidden);
  for_pieces(*ctx.team,
             {.num_groups = sorted.num_active,
              .rows = s.hidden,
              .align = kSwigluAlign,
              .work_per_row = 2 * per_expert * s.width},
             [&](int64_t group, int64_t begin, int64_t end) {
               const int64_t e = sorted.active[group], first = sorted.begin[e];
               const MatmulInput input{.x = packed,
                                       .x_rows = sorted.tokens + first,
                                       .num_tokens = sorted.begin[e + 1] - first,
                                       .weight = matrix_data(experts.gate_up, e, 0),
                                       .type = type,
                                       .k = s.width};
               const SwigluOutput output{
                   .hidden = {hidden.data + static_cast<size_t>(first) * hidden.row_bytes,
                              hidden.row_bytes},
                   .num_hidden = s.hidden,
                   .next_type = down_type,
                   .round_to_bf16 = rounds};
               matmul_swiglu(kernels, input, output, begin, end);
             });

  const int64_t columns = columns_at_a_time(s);
  float* contributions = ctx.workspace->allocate<float>(num_slots * columns);
  for (int64_t h = 0; h < s.width; h += columns) {
    const int64_t count = std::min(columns, s.width - h);
    for_pieces(
        *ctx.team,
        {.num_groups = sorted.num_active,
         .rows = count,
         .align = 8,
         .work_per_row = per_expert * s.hidden},
        [&](int64_t group, int64_t begin, int64_t end) {
          const int64_t e = sorted.active[group], first = sorted.begin[e];
          const MatmulInput input{
              .x = {hidden.data + static_cast<size_t>(first) * hidden.row_bytes, hidden.row_bytes},
              .num_tokens = sorted.begin[e + 1] - first,
              .weight = matrix_data(experts.down, e, h),
              .type = down_type,
              .k = s.hidden};
          const MatmulOutput output{
              .out = contributions, .stride = columns, .out_rows = sorted.slots + first};
          matmul_rows(kernels, input, output, begin, end);
        });
    const int64_t serial_tokens = std::max<int64_t>(1, kSerialWork / (s.top_k * count));
    ctx.team->parallel_for(s.num_tokens, serial_tokens, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        weighted_sum(s, routing, contributions, columns, t, h, h + count, out.as<float>(),
                     accumulate);
      }
    });
  }
}

void looped_experts(const OpContext& ctx, const TensorView& x, const Routing& routing,
                    const ExpertsView& experts, const TensorView& out, bool accumulate) {
  const Sizes s = check("looped_experts", x, routing, experts, out);
  const auto* ids = routing.expert_ids.as<const int32_t>();
  const Workspace::Scope scope(*ctx.workspace);
  const auto row_bytes = static_cast<size_t>(s.width) * sizeof(float);
  float* contributions = ctx.workspace->allocate<float>(s.num_tokens * s.top_k * s.width);
  float* gathered = ctx.workspace->allocate<float>(s.num_tokens * s.top_k * s.width);
  float* result = ctx.workspace->allocate<float>(s.num_tokens * s.top_k * s.width);
  for (int64_t e = 0; e < s.num_experts; ++e) {
    int64_t count = 0;
    for (int64_t i = 0; i < s.num_tokens * s.top_k; ++i) {
      if (ids[i] != e) continue;
      std::memcpy(gathered + count++ * s.width, x.as<const float>() + i / s.top_k * s.width,
                  row_bytes);
    }
    if (count == 0) continue;
    const Shape shape{count, s.width};
    swiglu_mlp(ctx, {gathered, DType::kF32, shape}, experts.gate_up.matrix(e),
               experts.down.matrix(e), {result, DType::kF32, shape});
    int64_t next = 0;
    for (int64_t i = 0; i < s.num_tokens * s.top_k; ++i) {
      if (ids[i] == e) {
        std::memcpy(contributions + i * s.width, result + next++ * s.width, row_bytes);
      }
    }
  }
  for (int64_t t = 0; t < s.num_tokens; ++t) {
    weighted_sum(s, routing, contributions, s.width, t, 0, s.width, out.as<float>(), accumulate);
  }
}

}  // namespace glmoe
