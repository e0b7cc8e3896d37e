// What the ops with matrix products share: weights checked, tokens packed in the workspace, and
// rows of a weight split over the thread team. Internal to ops/linear.cc and ops/moe.cc.
#pragma once

#include <cstdint>

#include "kernels/cpu/matmul/matmul.h"
#include "ops/op_context.h"

namespace glmoe::ops_internal {

// F32, BF16 or F16 and plain; anything else fails, naming `op` and `name`.
WeightType weight_type(const char* op, const char* name, const QuantView& weight);

inline bool rounds_inputs(const OpContext& ctx) { return ctx.compute_dtype == DType::kBF16; }

// Room for `rows` packed tokens of k inputs, in the workspace.
PackedTokens allocate_packed(const OpContext& ctx, int64_t rows, int64_t k);
// The same, filled from x [rows, k].
PackedTokens pack(const OpContext& ctx, const MatmulKernels& kernels, WeightType type,
                  const float* x, int64_t rows, int64_t k);

// A list of `num_groups` equal groups of `rows` rows, cut into pieces of one size (a group's last
// may be smaller) in whole `align`s: four a thread or more, so that little is paid for starting a
// piece and the threads still end together. Below `kSerialWork` multiplications the caller does
// everything.
struct PieceList {
  int64_t num_groups = 1;
  int64_t rows = 0;
  int64_t align = 1;
  int64_t work_per_row = 0;  // multiplications, all groups' tokens on average
};

inline constexpr int64_t kSerialWork = 64 * 1024;

// fn(group, begin, end) for pieces that cover every group, of at most kMaxMatmulRows rows.
template <class F>
void for_pieces(ThreadTeam& team, const PieceList& list, F&& fn) {
  const int64_t total = list.num_groups * list.rows;
  const bool serial = team.size() == 1 || total * list.work_per_row < kSerialWork;
  // A quarter of a thread's even share, so that there is something to balance with.
  const int64_t share = serial ? list.rows : total / (int64_t{4} * team.size());
  int64_t piece = (share + list.align - 1) / list.align * list.align;
  piece = piece < list.align ? list.align : piece > kMaxMatmulRows ? kMaxMatmulRows : piece;
  const int64_t per_group = (list.rows + piece - 1) / piece;
  const int64_t count = list.num_groups * per_group;
  team.parallel_for(count, serial ? count : 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % per_group * piece;
      fn(i / per_group, first, first + piece < list.rows ? first + piece : list.rows);
    }
  });
}

}  // namespace glmoe::ops_internal
