#include "ops/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention/attention.h"
#include "ops/attention_checks.h"

namespace glmoe {
namespace {

using kernels::AttentionPartial;
using kernels::AttentionTile;
using ops_internal::ceil_div;
using ops_internal::check_matrix;

// Queries of a tile: enough that preparing a tile of keys is small beside using it.
constexpr int64_t kTileQueries = 96;
constexpr int64_t kMaxTileRows = 32;
// Partial results of split sequences never take more than this.
constexpr int64_t kMaxPartialFloats = int64_t{64} << 18;  // 64 MiB

int64_t rows_per_tile(int64_t group) {
  return std::clamp<int64_t>(kTileQueries / group, 1, kMaxTileRows);
}

kernels::KvType kernel_type(DType dtype) {
  return dtype == DType::kF32    ? kernels::KvType::kF32
         : dtype == DType::kBF16 ? kernels::KvType::kBF16
                                 : kernels::KvType::kF16;
}

// The tiles of one step, numbered sequence by sequence, KV head by KV head, rows ascending.
class TilePlan {
 public:
  TilePlan(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
           Workspace& workspace)
      : shape_(shape), sequences_(sequences), rows_(rows_per_tile(group())) {
    first_ = workspace.allocate<int64_t>(static_cast<int64_t>(sequences.size()) + 1);
    first_[0] = 0;
    for (size_t s = 0; s < sequences.size(); ++s) {
      first_[s + 1] = first_[s] + ceil_div(sequences[s].num_rows, rows_) * shape.num_kv_heads;
    }
  }

  int64_t group() const { return shape_.num_heads / shape_.num_kv_heads; }
  int64_t size() const { return first_[sequences_.size()]; }
  int64_t max_queries() const { return rows_ * group(); }

  // Tile `index` of the step's inputs, and where its rows and heads begin in the output.
  AttentionTile at(int64_t index, const TensorView& qkv, const KvLayerView& kv, int64_t* out_row,
                   int64_t* out_head) const {
    const auto after = std::upper_bound(first_, first_ + sequences_.size() + 1, index);
    const auto& sequence = sequences_[static_cast<size_t>(after - first_ - 1)];
    const int64_t row_tiles = ceil_div(sequence.num_rows, rows_);
    const int64_t inner = index - after[-1];
    const int64_t kv_head = inner / row_tiles;
    const int64_t row = inner % row_tiles * rows_;
    const int64_t plane = shape_.tokens_per_block * shape_.head_dim;
    const size_t element = dtype_size(kv.blocks.dtype);
    const std::byte* keys =
        kv.blocks.as<const std::byte>() + static_cast<size_t>(kv_head * plane) * element;
    *out_row = sequence.row_begin + row;
    *out_head = kv_head * group();
    return {.q = qkv.as<const float>() + *out_row * qkv.shape[1] + *out_head * shape_.head_dim,
            .q_stride = qkv.shape[1],
            .num_rows = std::min(rows_, sequence.num_rows - row),
            .group = group(),
            .head_dim = shape_.head_dim,
            .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape_.head_dim))),
            .first_position = sequence.start_position + row,
            .kv_type = kernel_type(kv.blocks.dtype),
            .keys = keys,
            .values = keys + static_cast<size_t>(shape_.num_kv_heads * plane) * element,
            .block_stride = kv.blocks.shape[1],
            .block_table = sequence.block_table.data(),
            .tokens_per_block = shape_.tokens_per_block};
  }

 private:
  const AttentionShape& shape_;
  std::span<const AttentionSequence> sequences_;
  int64_t rows_;
  int64_t* first_;  // [sequences + 1] number of each sequence's first tile
};

// One piece of work: all splits of a tile (split < 0), or one of them, kept in `partial`.
struct AttentionTask {
  int64_t tile;
  int64_t split;
  float* partial;
};

// What a step computes and where: the same arithmetic whichever way the tasks are cut.
struct AttentionStep {
  const OpContext& ctx;
  const TensorView& qkv;
  const AttentionShape& shape;
  const KvLayerView& kv;
  const TensorView& out;
  const TilePlan& plan;
  AttentionTask* tasks = nullptr;
  int64_t num_tasks = 0;
  bool any_apart = false;  // some tile's splits are tasks of their own

  AttentionTile tile(int64_t index, int64_t* row, int64_t* head) const {
    return plan.at(index, qkv, kv, row, head);
  }
  void finish(const AttentionTile& tile, const AttentionPartial& total, int64_t row,
              int64_t head) const {
    kernels::finish_attention(
        tile, total, out.as<float>() + row * out.shape[1] + head * shape.head_dim, out.shape[1]);
  }
};

// Cuts the step into tasks: where a tile is a large part of all the work its splits go to
// different threads.
void make_tasks(AttentionStep& step) {
  Workspace& workspace = *step.ctx.workspace;
  const int64_t num_tiles = step.plan.size(), num_threads = step.ctx.team->size();
  int64_t row = 0, head = 0, total_splits = 0, partial_floats = 0;
  for (int64_t i = 0; i < num_tiles; ++i) {
    total_splits += step.tile(i, &row, &head).num_splits();
  }
  step.tasks = workspace.allocate<AttentionTask>(total_splits);
  for (int64_t i = 0; i < num_tiles; ++i) {
    const AttentionTile tile = step.tile(i, &row, &head);
    const int64_t splits = tile.num_splits();
    const int64_t floats = AttentionPartial::num_floats(tile.num_queries(), tile.head_dim);
    const bool apart = num_threads > 1 && splits > 1 && splits * 4 * num_threads > total_splits &&
                       partial_floats + splits * floats <= kMaxPartialFloats;
    if (!apart) {
      step.tasks[step.num_tasks++] = {i, -1, nullptr};
      continue;
    }
    step.any_apart = true;
    partial_floats += splits * floats;
    for (int64_t s = 0; s < splits; ++s) {
      step.tasks[step.num_tasks++] = {i, s, workspace.allocate<float>(floats)};
    }
  }
}

void run_tasks(const AttentionStep& step) {
  const int64_t max_queries = step.plan.max_queries(), dim = step.shape.head_dim;
  // Whole cache lines, so that every part stays aligned.
  const int64_t partial_size = ceil_div(AttentionPartial::num_floats(max_queries, dim), 16) * 16;
  const int64_t scratch_size =
      ceil_div(kernels::attention_scratch_floats(max_queries, dim), 16) * 16;
  const int64_t per_thread = 2 * partial_size + scratch_size;
  float* memory = step.ctx.workspace->allocate<float>(per_thread * step.ctx.team->size());

  const auto run = [&](const AttentionTask& task, float* mine) {
    float* scratch = mine + 2 * partial_size;
    int64_t row = 0, head = 0;
    const AttentionTile tile = step.tile(task.tile, &row, &head);
    const int64_t queries = tile.num_queries();
    if (task.split >= 0) {
      kernels::attend_split(tile, task.split, AttentionPartial::in(task.partial, queries), scratch);
      return;
    }
    const AttentionPartial total = AttentionPartial::in(mine, queries);
    const AttentionPartial part = AttentionPartial::in(mine + partial_size, queries);
    kernels::attend_split(tile, 0, total, scratch);
    for (int64_t s = 1; s < tile.num_splits(); ++s) {
      kernels::attend_split(tile, s, part, scratch);
      kernels::merge_partial(queries, dim, total, part);
    }
    step.finish(tile, total, row, head);
  };
  step.ctx.team->parallel_for(step.num_tasks, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i) run(step.tasks[i], memory + thread * per_thread);
  });
}

// Brings the splits that were computed apart together, in order.
void merge_tasks(const AttentionStep& step) {
  const auto merge = [&](const AttentionTask* first) {
    int64_t row = 0, head = 0;
    const AttentionTile tile = step.tile(first->tile, &row, &head);
    const int64_t queries = tile.num_queries();
    const AttentionPartial total = AttentionPartial::in(first->partial, queries);
    for (int64_t s = 1; s < tile.num_splits(); ++s) {
      kernels::merge_partial(queries, tile.head_dim, total,
                             AttentionPartial::in(first[s].partial, queries));
    }
    step.finish(tile, total, row, head);
  };
  step.ctx.team->parallel_for(step.num_tasks, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      if (step.tasks[i].split == 0) merge(step.tasks + i);
    }
  });
}

}  // namespace

void paged_attention(const OpContext& ctx, const TensorView& qkv, const AttentionShape& shape,
                     std::span<const AttentionSequence> sequences, const KvLayerView& kv,
                     const TensorView& out) {
  constexpr const char* kOp = "paged_attention";
  ops_internal::check_attention(kOp, qkv, shape, sequences, kv);
  check_matrix(kOp, "out", out, DType::kF32, qkv.shape[0], shape.num_heads * shape.head_dim);

  const Workspace::Scope scope(*ctx.workspace);
  const TilePlan plan(shape, sequences, *ctx.workspace);
  if (plan.size() == 0) return;
  AttentionStep step{.ctx = ctx, .qkv = qkv, .shape = shape, .kv = kv, .out = out, .plan = plan};
  make_tasks(step);
  run_tasks(step);
  if (step.any_apart) merge_tasks(step);
}

}  // namespace glmoe
