// Arithmetic of the parallel layout. Needs no model; what ties it to one is in config.cc.
#include "glmoe/mapping.h"

#include <algorithm>

#include "base/error.h"

namespace glmoe {
namespace {

// Far above any cluster; keeps every product below 2^63.
constexpr int64_t kMaxSize = 65536;

void check_size(const char* field, int64_t value) {
  if (value < 1 || value > kMaxSize) {
    fail_argument("mapping: {} is {}, wanted 1 to {}", field, value, kMaxSize);
  }
}

}  // namespace

Mapping Mapping::resolved() const {
  check_size("tp_size", tp_size);
  check_size("pp_size", pp_size);
  check_size("cp_size", cp_size);
  check_size("ep_size", ep_size);
  check_size("gpus_per_node", gpus_per_node);
  if (cp_size > 1 && ep_size > 1) {
    fail_argument(
        "mapping: cp_size {} and ep_size {} are both above 1, which is not supported: set one to 1",
        cp_size, ep_size);
  }
  Mapping result = *this;
  const int64_t inside = tp_size * pp_size * cp_size;
  const int64_t beside = inside * ep_size;
  if (world_size == 0) result.world_size = inside;
  if (result.world_size != inside && result.world_size != beside) {
    fail_argument("mapping: world_size {} does not fit tp_size {} * pp_size {} * cp_size {} = {}{}",
                  world_size, tp_size, pp_size, cp_size, inside,
                  ep_size > 1 ? fmt::format(" (or {} with ep_size {})", beside, ep_size) : "");
  }
  if (result.has_separate_ep_groups()) {
    if (moe_tp_size != 0 && moe_tp_size != tp_size) {
      fail_argument(
          "mapping: moe_tp_size {} must equal tp_size {} when world_size {} includes "
          "ep_size {}: leave it out",
          moe_tp_size, tp_size, result.world_size, ep_size);
    }
    result.moe_tp_size = tp_size;
  } else {
    if (tp_size % ep_size != 0) {
      fail_argument(
          "mapping: ep_size {} does not divide tp_size {} (the experts live inside the "
          "tensor-parallel "
          "group): choose a divisor, or world_size {} for groups beside each other",
          ep_size, tp_size, beside);
    }
    if (moe_tp_size != 0 && (moe_tp_size < 0 || moe_tp_size != tp_size / ep_size)) {
      fail_argument(
          "mapping: moe_tp_size {} * ep_size {} must equal tp_size {}: use moe_tp_size {}",
          moe_tp_size, ep_size, tp_size, tp_size / ep_size);
    }
    result.moe_tp_size = tp_size / ep_size;
  }
  if (rank < 0 || rank >= result.world_size) {
    fail_argument("mapping: rank {} is outside 0 to {} (world_size {})", rank,
                  result.world_size - 1, result.world_size);
  }
  return result;
}

int64_t Mapping::moe_tp_rank() const {
  return has_separate_ep_groups() ? tp_rank() : tp_rank() / ep_size;
}

int64_t Mapping::moe_ep_rank() const {
  if (has_separate_ep_groups()) return rank % (tp_size * cp_size * ep_size) / (tp_size * cp_size);
  return tp_rank() % ep_size;
}

int64_t Mapping::first_layer(int64_t num_layers) const {
  const int64_t stage = pp_rank();
  return stage * (num_layers / pp_size) + std::min(stage, num_layers % pp_size);
}

int64_t Mapping::num_stage_layers(int64_t num_layers) const {
  return num_layers / pp_size + (pp_rank() < num_layers % pp_size ? 1 : 0);
}

Mapping Mapping::at_rank(int64_t other_rank) const {
  Mapping other = *this;
  other.rank = other_rank;
  return other.resolved();
}

std::string Mapping::to_string() const {
  return fmt::format("world {} (tp {}, pp {}, cp {}, ep {}, moe_tp {}), rank {}", world_size,
                     tp_size, pp_size, cp_size, ep_size, moe_tp_size, rank);
}

}  // namespace glmoe
