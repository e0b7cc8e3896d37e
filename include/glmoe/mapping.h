// How ranks divide the model: tensor, pipeline, expert (and context) parallelism.
#pragma once

#include <cstdint>
#include <string>

namespace glmoe {

// Layout of `world_size` ranks. Two forms are accepted:
//   world_size == tp*pp*cp      experts live inside the TP group: moe_tp * moe_ep == tp
//                               (TensorRT-LLM's rule; the default when world_size is 0)
//   world_size == tp*pp*cp*ep   the EP groups lie beside each other: attention is replicated in
//                               each (data parallel), moe_tp == tp and moe_ep == ep
// Rank order: tp fastest, then cp, then the EP groups of the second form, then pp.
struct Mapping {
  int64_t world_size = 0;  // 0: tp_size * pp_size * cp_size
  int64_t rank = 0;
  int64_t gpus_per_node = 8;
  int64_t tp_size = 1;
  int64_t pp_size = 1;
  int64_t cp_size = 1;
  int64_t ep_size = 1;      // ranks over which the experts are divided (moe_ep_size)
  int64_t moe_tp_size = 0;  // 0: derived, see above

  // Fills world_size and moe_tp_size where they are 0 and checks everything that does not need the
  // model: sizes positive, products equal, rank in [0, world_size), cp and ep not both above 1.
  // Throws kInvalidArgument naming the fields and values.
  Mapping resolved() const;

  // The rest is meaningful on a resolved mapping.
  bool has_separate_ep_groups() const {
    return world_size == tp_size * pp_size * cp_size * ep_size && ep_size > 1;
  }
  int64_t tp_rank() const { return rank % tp_size; }
  int64_t cp_rank() const { return rank % (tp_size * cp_size) / tp_size; }
  int64_t pp_rank() const { return rank / (world_size / pp_size); }
  int64_t moe_tp_rank() const;
  int64_t moe_ep_rank() const;
  int64_t node_rank() const { return rank / gpus_per_node; }

  // First layer and number of layers of this rank's pipeline stage; the first
  // num_layers % pp_size stages hold one more.
  int64_t first_layer(int64_t num_layers) const;
  int64_t num_stage_layers(int64_t num_layers) const;

  // The same mapping seen from another rank.
  Mapping at_rank(int64_t other_rank) const;

  std::string to_string() const;
  bool operator==(const Mapping&) const = default;
};

}  // namespace glmoe
