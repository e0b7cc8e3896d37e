// The model's tensors as data: for each logical tensor its shape, where a checkpoint keeps it, how
// it is fused and how ranks divide it. Converter, loader, verifier and `plan` all read this.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "glmoe/config.h"
#include "tensor/tensor.h"

namespace glmoe {

// A rectangle of rows and columns that moves from the full tensor to a rank's or back.
// For stacks [E, N, K], `matrix` is the expert. Counts are in elements.
struct SliceCopy {
  int64_t source_matrix = 0, target_matrix = 0;  // in the full tensor / in the rank's
  int64_t source_row = 0, target_row = 0, num_rows = 0;
  int64_t source_col = 0, target_col = 0, num_cols = 0;
};

// Where rows of the full (fused) logical tensor come from in a checkpoint.
struct SourcePart {
  std::vector<std::string> names;  // alternatives, first that exists wins (layouts of experts, ...)
  int64_t matrix = 0;              // expert index in the logical stack; 0 for plain matrices
  int64_t row_begin = 0;           // rows [row_begin, row_begin + rows) of the logical matrix
  int64_t rows = 0;
  // For fused-on-disk experts the source is [E, 2I, H]: take source_matrix of it, from source_row.
  // -1: the source is a matrix (or vector) of its own.
  int64_t source_matrix = -1;
  int64_t source_row = 0;
};

enum class WeightRole { kMatrix, kVector, kRouter };  // kMatrix follows --dtype; the others are F32

// How ranks divide a tensor. F, I, Hq, Hkv, V as in docs/notation.md.
enum class ShardRule {
  kReplicated,
  kVocabRows,      // [V, H] over tp; rows padded up
  kQkvRows,        // rows q, k, v by heads over tp; KV heads replicated where tp exceeds them
  kHeadCols,       // [H, Hq D] columns by query heads over tp
  kGateUpRows,     // [2F, H] over tp: each rank has its gate rows, then its up rows; F padded up
  kWidthCols,      // [H, F] columns over tp; F padded up
  kExpertsGateUp,  // [E, 2I, H]: experts over ep, I over moe_tp as in kGateUpRows
  kExpertsDown,    // [E, H, I]: experts over ep, I over moe_tp as in kWidthCols
};

struct LogicalTensor {
  std::string name;  // "transformer.layers.3.attention.qkv.weight": in converted folder, engine
  WeightRole role = WeightRole::kMatrix;
  Shape shape;  // full, unsharded: [N], [N, K] or [E, N, K]
  ShardRule shard = ShardRule::kReplicated;
  int64_t layer = -1;     // -1: not in a layer; MTP layers count from num_hidden_layers
  bool optional = false;  // may be absent from the checkpoint (MTP and its copies)
  std::vector<std::vector<SourcePart>> layouts;  // alternatives: per-expert, fused on disk, ...
};

struct WeightPlan {
  Glm4MoeConfig config;
  std::vector<LogicalTensor> tensors;  // in the order of the forward pass

  // Shape of `tensor` on a rank (rows and columns padded up where they don't divide), or an empty
  // shape where the rank does not hold it (another pipeline stage).
  Shape rank_shape(const LogicalTensor& tensor, const Mapping& mapping) const;
  // The pieces that take the full tensor to this rank's, zero elsewhere (padding). Reading them
  // backwards over all ranks stitches the full tensor together again.
  std::vector<SliceCopy> rank_slices(const LogicalTensor& tensor, const Mapping& mapping) const;
};

// `include_mtp`: whether the checkpoint carries MTP layers.
WeightPlan make_weight_plan(const Glm4MoeConfig& config, bool include_mtp);

}  // namespace glmoe
