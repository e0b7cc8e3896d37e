#include "spec/memory_plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "spec/weight_plan.h"

namespace glmoe {
namespace {

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The member of `plan` that a tensor of the weight plan counts towards.
int64_t& part_of(MemoryPlan& plan, const LogicalTensor& tensor, int64_t num_layers) {
  const std::string& name = tensor.name;
  const auto holds = [&name](std::string_view text) { return name.find(text) != name.npos; };
  if (tensor.layer >= num_layers) return plan.mtp;
  if (holds("vocab_embedding")) return plan.embedding;
  if (holds("lm_head")) return plan.lm_head;
  if (holds("norm") || holds("ln_f")) return plan.norms;
  if (holds(".attention.")) return plan.attention;
  if (holds(".router.")) return plan.router;
  if (holds(".shared_experts.")) return plan.shared_experts;
  if (holds(".experts.")) return plan.routed_experts;
  return plan.dense_mlp;
}

// The activations of the widest layer beside the residual stream, all F32 (T max_num_tokens):
//   residual and its norm     2 T H
//   attention                 T (Hq D + 2 Hkv D) + T Hq D + T H
//   dense MLP                 T 3 F + T H
//   MoE                       T E + T K (3 I + H) + T 3 S + T H
// and, after the layers, one row of logits for each sequence: max_batch_size V.
int64_t workspace_bytes(const Glm4MoeConfig& config, const MemoryPlanOptions& options,
                        const Mapping& mapping) {
  const int64_t tp = mapping.tp_size, hidden = config.hidden_size;
  const int64_t q = config.q_size() / tp;
  const int64_t kv = std::max<int64_t>(1, config.num_key_value_heads / tp) * config.head_dim;
  const MoeConfig& moe = config.moe;
  const int64_t inner = divide_up(moe.moe_intermediate_size, mapping.moe_tp_size);
  const int64_t shared = divide_up(moe.shared_expert_intermediate_size(), tp);
  const int64_t attention = 2 * q + 2 * kv + hidden;
  const int64_t dense = 3 * divide_up(config.intermediate_size, tp) + hidden;
  const int64_t routed =
      moe.has_moe() ? moe.num_experts + moe.top_k * (3 * inner + hidden) + 3 * shared + hidden : 0;
  const int64_t row = 2 * hidden + std::max({attention, dense, routed});
  return 4 *
         (options.max_num_tokens * row + options.max_batch_size * divide_up(config.vocab_size, tp));
}

void check_options(const MemoryPlanOptions& options) {
  const auto check = [](std::string_view field, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high) {
      fail_argument("{} is {}, wanted {} to {}", field, value, low, high);
    }
  };
  check("tokens_per_block", options.tokens_per_block, 1, 65536);
  check("max_num_tokens", options.max_num_tokens, 1, int64_t{1} << 24);
  check("max_batch_size", options.max_batch_size, 1, int64_t{1} << 20);
  check("kv_tokens", options.kv_tokens, 0, int64_t{1} << 40);
}

MemoryPlan plan_stage(const WeightPlan& weights, const MemoryPlanOptions& options,
                      const Mapping& mapping) {
  const Glm4MoeConfig& config = weights.config;
  MemoryPlan plan;
  for (const LogicalTensor& tensor : weights.tensors) {
    const Shape shape = weights.rank_shape(tensor, mapping);
    if (shape.rank() == 0) continue;
    const DType dtype = tensor.role == WeightRole::kMatrix ? options.weight_dtype : DType::kF32;
    part_of(plan, tensor, config.num_hidden_layers) +=
        shape.num_elements() * static_cast<int64_t>(dtype_size(dtype));
  }
  const bool last = mapping.pp_rank() == mapping.pp_size - 1;
  if (last) plan.head_read = config.tie_word_embeddings ? plan.embedding : plan.lm_head;
  const int64_t heads = std::max<int64_t>(1, config.num_key_value_heads / mapping.tp_size);
  plan.kv_bytes_per_token = 2 * heads * config.head_dim *
                            mapping.num_stage_layers(config.num_hidden_layers) *
                            static_cast<int64_t>(dtype_size(options.kv_dtype));
  plan.tokens_per_block = options.tokens_per_block;
  plan.kv_tokens =
      divide_up(options.kv_tokens, options.tokens_per_block) * options.tokens_per_block;
  const double kv =
      static_cast<double>(plan.kv_bytes_per_token) * static_cast<double>(plan.kv_tokens);
  if (kv > 0x1p60)
    fail_argument("kv_tokens {} needs {:.1e} bytes, which cannot be", plan.kv_tokens, kv);
  plan.workspace = workspace_bytes(config, options, mapping);
  plan.num_experts = config.moe.num_experts;
  plan.top_k = config.moe.top_k;
  plan.max_position_embeddings = config.max_position_embeddings;
  return plan;
}

std::vector<std::pair<const char*, int64_t>> rows_of(const MemoryPlan& plan) {
  std::vector<std::pair<const char*, int64_t>> rows = {{"embedding", plan.embedding},
                                                       {"attention", plan.attention},
                                                       {"dense_mlp", plan.dense_mlp},
                                                       {"routed_experts", plan.routed_experts},
                                                       {"shared_experts", plan.shared_experts},
                                                       {"router", plan.router},
                                                       {"norms", plan.norms},
                                                       {"lm_head", plan.lm_head},
                                                       {"mtp", plan.mtp}};
  if (plan.padding > 0) rows.emplace_back("padding", plan.padding);
  rows.emplace_back("weights", plan.weight_bytes());
  rows.emplace_back("kv_cache", plan.kv_bytes());
  rows.emplace_back("workspace", plan.workspace);
  rows.emplace_back("total", plan.total_bytes());
  return rows;
}

}  // namespace

int64_t MemoryPlan::weight_bytes() const {
  return embedding + attention + dense_mlp + routed_experts + shared_experts + router + norms +
         lm_head + mtp + padding;
}

double MemoryPlan::active_weight_bytes_per_token() const {
  const auto real = [](int64_t bytes) { return static_cast<double>(bytes); };
  const double chosen = num_experts == 0 ? 0.0 : real(top_k) / real(num_experts);
  return real(attention + dense_mlp + shared_experts + router + norms + head_read) +
         real(routed_experts) * chosen;
}

int64_t MemoryPlan::largest_context(int64_t memory_bytes) const {
  const int64_t room = memory_bytes - weight_bytes() - workspace;
  if (room <= 0) return 0;
  const int64_t blocks = room / (kv_bytes_per_token * tokens_per_block);
  const int64_t most = divide_up(max_position_embeddings, tokens_per_block);
  return std::min(max_position_embeddings, std::min(blocks, most) * tokens_per_block);
}

std::string MemoryPlan::to_string() const {
  std::string text;
  for (const auto& [name, bytes] : rows_of(*this)) {
    text += fmt::format("{:<16}{:>18} bytes {:>10.3f} GiB\n", name, bytes,
                        static_cast<double>(bytes) / (1 << 30));
  }
  return text + fmt::format("{:<16}{:>18} bytes a token ({} tokens)\n", "kv_cache",
                            kv_bytes_per_token, kv_tokens);
}

Json MemoryPlan::to_json() const {
  Json json = Json::object();
  for (const auto& [name, bytes] : rows_of(*this)) json[name] = bytes;
  json["kv_bytes_per_token"] = kv_bytes_per_token;
  json["kv_tokens"] = kv_tokens;
  json["active_weight_bytes_per_token"] = active_weight_bytes_per_token();
  return json;
}

MemoryPlan plan_memory(const Glm4MoeConfig& config, const MemoryPlanOptions& options) {
  check_options(options);
  config.validate();
  config.validate_mapping(options.mapping);
  Mapping mapping = options.mapping.resolved();
  const WeightPlan weights = make_weight_plan(config, options.include_mtp);
  MemoryPlan worst;
  for (int64_t stage = 0; stage < mapping.pp_size; ++stage) {
    mapping.rank = stage * (mapping.world_size / mapping.pp_size);
    const MemoryPlan plan = plan_stage(weights, options, mapping);
    if (plan.total_bytes() > worst.total_bytes()) worst = plan;
  }
  return worst;
}

ParameterCount count_parameters(const Glm4MoeConfig& config) {
  config.validate();
  const WeightPlan weights = make_weight_plan(config, true);
  ParameterCount count;
  MemoryPlan parts;  // holds elements here
  for (const LogicalTensor& tensor : weights.tensors) {
    const int64_t elements = tensor.shape.num_elements();
    if (tensor.name.ends_with("router.selection_bias")) {
      if (tensor.layer < config.num_hidden_layers) count.selection_bias += elements;
    } else {
      part_of(parts, tensor, config.num_hidden_layers) += elements;
    }
  }
  count.mtp = parts.mtp;
  count.trunk = parts.weight_bytes() - parts.mtp;
  count.lm_head = parts.lm_head;
  count.active = count.trunk - parts.embedding - parts.lm_head - parts.routed_experts;
  if (config.moe.num_experts > 0) {
    count.active += parts.routed_experts / config.moe.num_experts * config.moe.top_k;
  }
  return count;
}

}  // namespace glmoe
