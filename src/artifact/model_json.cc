#include "artifact/model_json.h"

#include "base/error.h"

namespace glmoe {

Json mapping_to_json(const Mapping& mapping) {
  return {{"world_size", mapping.world_size}, {"gpus_per_node", mapping.gpus_per_node},
          {"tp_size", mapping.tp_size},       {"pp_size", mapping.pp_size},
          {"cp_size", mapping.cp_size},       {"moe_tp_size", mapping.moe_tp_size},
          {"moe_ep_size", mapping.ep_size}};
}

Mapping mapping_from_json(const JsonReader& reader) {
  Mapping mapping;
  mapping.world_size = reader.integer("world_size");
  mapping.gpus_per_node = reader.integer_or("gpus_per_node", mapping.gpus_per_node);
  mapping.tp_size = reader.integer("tp_size");
  mapping.pp_size = reader.integer("pp_size");
  mapping.cp_size = reader.integer_or("cp_size", 1);
  mapping.moe_tp_size = reader.integer_or("moe_tp_size", 0);
  mapping.ep_size = reader.integer_or("moe_ep_size", 1);
  check_from_file(reader.what(), [&] { mapping = mapping.resolved(); });
  // Afterwards: a world_size of 0 is filled in from the other sizes.
  constexpr int64_t kMostRanks = 4096;
  if (mapping.world_size > kMostRanks) {
    fail(ErrorCode::kCorrupt, "{}: world_size {} is above {}", reader.what(), mapping.world_size,
         kMostRanks);
  }
  return mapping;
}

}  // namespace glmoe
