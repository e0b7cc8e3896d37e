#include "artifact/rank_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace glmoe {
namespace {

// An MTP layer's own embedding and head may be absent: the trunk's are used then.
bool is_absent_copy(const LogicalTensor& tensor, const std::vector<RankViews>& ranks) {
  if (!tensor.optional || !(tensor.name.ends_with(".vocab_embedding.weight") ||
                            tensor.name.ends_with(".lm_head.weight"))) {
    return false;
  }
  return std::none_of(ranks.begin(), ranks.end(),
                      [&](const RankViews& views) { return views.count(tensor.name) != 0; });
}

}  // namespace

TensorSource source_from_ranks(const Glm4MoeConfig& config, const Mapping& mapping, DType dtype,
                               const std::vector<RankViews>& ranks,
                               std::vector<std::string>& reasons) {
  TensorSource source;
  source.plan = make_weight_plan(config, config.num_nextn_predict_layers > 0);
  std::erase_if(source.plan.tensors,
                [&](const LogicalTensor& tensor) { return is_absent_copy(tensor, ranks); });
  source.mapping = mapping;
  source.dtype = dtype;

  std::vector<std::set<std::string>> known(ranks.size());
  for (const LogicalTensor& tensor : source.plan.tensors) {
    std::vector<TensorView> views(ranks.size());
    for (size_t rank = 0; rank < ranks.size(); ++rank) {
      const Shape shape =
          source.plan.rank_shape(tensor, mapping.at_rank(static_cast<int64_t>(rank)));
      if (shape.rank() == 0) continue;
      known[rank].insert(tensor.name);
      const auto it = ranks[rank].find(tensor.name);
      if (it == ranks[rank].end()) {
        reasons.push_back(fmt::format("rank {}: {} is missing", rank, tensor.name));
        continue;
      }
      const TensorView& view = it->second;
      const DType wanted = stored_dtype(tensor, dtype);
      if (view.dtype != wanted || !(view.shape == shape)) {
        reasons.push_back(fmt::format("rank {}: {}: {} {} was wanted, found {} {}", rank,
                                      tensor.name, dtype_name(wanted), shape.to_string(),
                                      dtype_name(view.dtype), view.shape.to_string()));
        continue;
      }
      views[rank] = view;
    }
    source.pieces.push_back(pieces_of_ranks(source.plan, tensor, mapping, views));
  }
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    for (const auto& [name, view] : ranks[rank]) {
      if (known[rank].count(name) == 0) {
        reasons.push_back(fmt::format("rank {}: {} is not part of this model", rank, name));
      }
    }
  }
  return source;
}

}  // namespace glmoe
