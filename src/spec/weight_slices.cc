// How ranks divide the logical tensors: shapes and rectangles. Pure arithmetic on a resolved
// mapping.
#include <algorithm>

#include "base/check.h"
#include "spec/weight_plan.h"

namespace glmoe {
namespace {

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The part of [0, size) that index `rank` of `count` holds when each gets `width` elements.
struct Span {
  int64_t begin = 0, size = 0;
};
Span part_of(int64_t size, int64_t count, int64_t rank) {
  const int64_t width = divide_up(size, count);
  const int64_t begin = std::min(size, rank * width);
  return {begin, std::min(size, begin + width) - begin};
}

// Heads of a rank; KV heads are shared by neighbours where there are fewer heads than ranks.
Span heads_of(int64_t num_heads, int64_t count, int64_t rank) {
  if (num_heads >= count) {
    GLMOE_CHECK_EQ(num_heads % count, 0);
    return {rank * (num_heads / count), num_heads / count};
  }
  GLMOE_CHECK_EQ(count % num_heads, 0);
  return {rank / (count / num_heads), 1};
}

bool ends_with_embedding(const LogicalTensor& tensor) {
  return tensor.name.ends_with(".vocab_embedding.weight");
}

// The last stage needs the trunk's embedding as its head (tied) or for an MTP layer without a copy.
bool last_stage_reads_embedding(const WeightPlan& plan) {
  if (plan.config.tie_word_embeddings) return true;
  bool mtp = false, copy = false;
  for (const LogicalTensor& tensor : plan.tensors) {
    if (tensor.layer < plan.config.num_hidden_layers) continue;
    mtp = true;
    copy = copy || ends_with_embedding(tensor);
  }
  return mtp && !copy;
}

bool on_stage(const WeightPlan& plan, const LogicalTensor& tensor, const Mapping& mapping) {
  const int64_t num_layers = plan.config.num_hidden_layers;
  const int64_t stage = mapping.pp_rank();
  const bool last = stage == mapping.pp_size - 1;
  if (mapping.pp_size == 1) return true;
  if (tensor.layer >= num_layers) return last;
  if (tensor.layer >= 0) {
    const int64_t first = mapping.first_layer(num_layers);
    return tensor.layer >= first && tensor.layer < first + mapping.num_stage_layers(num_layers);
  }
  if (ends_with_embedding(tensor)) {
    return stage == 0 || (last && last_stage_reads_embedding(plan));
  }
  return last;
}

class Slicer {
 public:
  Slicer(const Glm4MoeConfig& config, const LogicalTensor& tensor, const Mapping& mapping)
      : config_(config), tensor_(tensor), mapping_(mapping) {}

  Shape shape() const {
    const Shape& full = tensor_.shape;
    const int64_t tp = mapping_.tp_size;
    switch (tensor_.shard) {
      case ShardRule::kReplicated: return full;
      case ShardRule::kVocabRows: return {divide_up(full[0], tp), full[1]};
      case ShardRule::kQkvRows: {
        const int64_t rows = (q_heads().size + 2 * kv_heads().size) * config_.head_dim;
        return full.rank() == 1 ? Shape{rows} : Shape{rows, full[1]};
      }
      case ShardRule::kHeadCols: return {full[0], q_heads().size * config_.head_dim};
      case ShardRule::kGateUpRows: return {2 * divide_up(full[0] / 2, tp), full[1]};
      case ShardRule::kWidthCols: return {full[0], divide_up(full[1], tp)};
      case ShardRule::kExpertsGateUp:
        return {experts().size, 2 * divide_up(full[1] / 2, mapping_.moe_tp_size), full[2]};
      case ShardRule::kExpertsDown:
        return {experts().size, full[1], divide_up(full[2], mapping_.moe_tp_size)};
    }
    GLMOE_CHECK(false);
    return {};
  }

  std::vector<SliceCopy> slices() {
    const Shape& full = tensor_.shape;
    const int64_t tp = mapping_.tp_size, rank = mapping_.tp_rank();
    cols_ = full.rank() == 1 ? 1 : full[full.rank() - 1];
    switch (tensor_.shard) {
      case ShardRule::kReplicated: rows(0, 0, 0, 0, full[0]); break;
      case ShardRule::kVocabRows: {
        const Span part = part_of(full[0], tp, rank);
        rows(0, 0, part.begin, 0, part.size);
        break;
      }
      case ShardRule::kQkvRows: qkv(); break;
      case ShardRule::kHeadCols: {
        const int64_t head = config_.head_dim;
        columns(0, 0, full[0], {q_heads().begin * head, q_heads().size * head});
        break;
      }
      case ShardRule::kGateUpRows: gate_up(0, 0, full[0] / 2, tp, rank); break;
      case ShardRule::kWidthCols: columns(0, 0, full[0], part_of(full[1], tp, rank)); break;
      case ShardRule::kExpertsGateUp:
      case ShardRule::kExpertsDown: each_expert(); break;
    }
    return std::move(slices_);
  }

 private:
  Span q_heads() const {
    return heads_of(config_.num_attention_heads, mapping_.tp_size, mapping_.tp_rank());
  }
  Span kv_heads() const {
    return heads_of(config_.num_key_value_heads, mapping_.tp_size, mapping_.tp_rank());
  }
  Span experts() const {
    GLMOE_CHECK_EQ(tensor_.shape[0] % mapping_.ep_size, 0);
    return part_of(tensor_.shape[0], mapping_.ep_size, mapping_.moe_ep_rank());
  }

  void rows(int64_t source_matrix, int64_t target_matrix, int64_t source, int64_t target,
            int64_t count) {
    if (count > 0) {
      slices_.push_back({source_matrix, target_matrix, source, target, count, 0, 0, cols_});
    }
  }
  void columns(int64_t source_matrix, int64_t target_matrix, int64_t num_rows, Span part) {
    if (part.size > 0) {
      slices_.push_back({source_matrix, target_matrix, 0, 0, num_rows, part.begin, 0, part.size});
    }
  }
  void gate_up(int64_t source_matrix, int64_t target_matrix, int64_t width, int64_t count,
               int64_t rank) {
    const Span part = part_of(width, count, rank);
    rows(source_matrix, target_matrix, part.begin, 0, part.size);
    rows(source_matrix, target_matrix, width + part.begin, divide_up(width, count), part.size);
  }
  void qkv() {
    const int64_t head = config_.head_dim;
    const Span q = q_heads(), kv = kv_heads();
    const int64_t k_begin = config_.q_size(), v_begin = k_begin + config_.kv_size();
    rows(0, 0, q.begin * head, 0, q.size * head);
    rows(0, 0, k_begin + kv.begin * head, q.size * head, kv.size * head);
    rows(0, 0, v_begin + kv.begin * head, (q.size + kv.size) * head, kv.size * head);
  }
  void each_expert() {
    const Shape& full = tensor_.shape;
    const int64_t count = mapping_.moe_tp_size, rank = mapping_.moe_tp_rank();
    const Span local = experts();
    for (int64_t e = 0; e < local.size; ++e) {
      if (tensor_.shard == ShardRule::kExpertsGateUp) {
        gate_up(local.begin + e, e, full[1] / 2, count, rank);
      } else {
        columns(local.begin + e, e, full[1], part_of(full[2], count, rank));
      }
    }
  }

  const Glm4MoeConfig& config_;
  const LogicalTensor& tensor_;
  const Mapping& mapping_;
  int64_t cols_ = 1;
  std::vector<SliceCopy> slices_;
};

}  // namespace

Shape WeightPlan::rank_shape(const LogicalTensor& tensor, const Mapping& mapping) const {
  if (!on_stage(*this, tensor, mapping)) return {};
  return Slicer(config, tensor, mapping).shape();
}

std::vector<SliceCopy> WeightPlan::rank_slices(const LogicalTensor& tensor,
                                               const Mapping& mapping) const {
  if (!on_stage(*this, tensor, mapping)) return {};
  return Slicer(config, tensor, mapping).slices();
}

}  // namespace glmoe
