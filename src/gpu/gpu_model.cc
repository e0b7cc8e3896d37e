#include "gpu/gpu_model.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/attention/attention_decode.h"
#include "kernels/cuda/attention/attention_generic.h"
#include "kernels/cuda/attention/attention_prefill.h"
#include "kernels/cuda/embedding/embedding.h"
#include "kernels/cuda/fill/fill.h"
#include "kernels/cuda/gemm/stream_gemm.h"
#include "kernels/cuda/moe/moe_router.h"
#include "kernels/cuda/moe/silu_mul.h"
#include "kernels/cuda/norm/rms_norm.h"
#include "kernels/cuda/rope/rope_kv_write.h"
#include "ops/attention.h"

namespace glmoe {
namespace {

constexpr size_t kGemmWorkspaceBytes = size_t{64} << 20;

cuda::MoeRouterMode router_mode(ExpertScaleNormalizationMode mode) {
  switch (mode) {
    case ExpertScaleNormalizationMode::kNone: return cuda::MoeRouterMode::kNone;
    case ExpertScaleNormalizationMode::kRenormalize: return cuda::MoeRouterMode::kRenormalize;
    case ExpertScaleNormalizationMode::kSparseMixer: return cuda::MoeRouterMode::kSparseMixer;
    case ExpertScaleNormalizationMode::kDeviceLimited: return cuda::MoeRouterMode::kDeviceLimited;
    case ExpertScaleNormalizationMode::kDeviceLimitedRenorm:
      return cuda::MoeRouterMode::kDeviceLimitedRenorm;
    case ExpertScaleNormalizationMode::kSigmoidBiasRenorm: return cuda::MoeRouterMode::kSigmoidBias;
  }
  return cuda::MoeRouterMode::kNone;
}

}  // namespace

cuda::MoeRouterParams moe_router_shape(const Glm4MoeConfig& config, cuda::ElementType type) {
  const MoeConfig& moe = config.moe;
  cuda::MoeRouterParams p;
  p.x_type = type;
  p.hidden_size = static_cast<int>(config.hidden_size);
  p.mode = router_mode(moe.normalization_mode);
  p.num_experts = static_cast<int>(moe.num_experts);
  p.top_k = static_cast<int>(moe.top_k);
  p.num_shared = static_cast<int>(moe.num_shared_experts);
  p.n_group = static_cast<int>(moe.n_group);
  p.topk_group = static_cast<int>(moe.topk_group);
  p.epsilon = static_cast<float>(moe.sparse_mixer_epsilon);
  p.scaling_factor = static_cast<float>(moe.routed_scaling_factor);
  p.normalize = moe.norm_topk_prob;
  return p;
}

// Places in the workspace, each 256-byte aligned; without a base it only measures.
class Arena {
 public:
  explicit Arena(std::byte* base) : base_(base) {}
  template <class T>
  void place(T*& pointer, int64_t num_bytes) {
    pointer = reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(base_) + used_);
    used_ += (static_cast<size_t>(num_bytes) + 255) / 256 * 256;
  }
  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

void GpuModel::lay_out(Arena& arena) {
  const Glm4MoeConfig& c = config_;
  const int64_t rows = options_.max_rows;
  const auto size = static_cast<int64_t>(cuda::element_size(type_));
  const int64_t experts = c.moe.num_experts + c.moe.num_shared_experts;
  const int64_t slots = rows * (c.moe.top_k + c.moe.num_shared_experts);
  const int64_t inner = GpuWeights::padded(c.moe.moe_intermediate_size);
  const int64_t dense_inner = GpuWeights::padded(c.intermediate_size);
  arena.place(residual_, rows * c.hidden_size * 4);
  arena.place(tail_, rows * c.hidden_size * 4);
  arena.place(normed_, rows * c.hidden_size * size);
  arena.place(qkv_, rows * (c.q_size() + 2 * c.kv_size()) * size);
  arena.place(attended_, rows * GpuWeights::padded(c.q_size()) * size);
  arena.place(gate_up_, rows * 2 * dense_inner * size);
  arena.place(inner_, rows * dense_inner * size);
  arena.place(logits_, options_.max_logit_rows * logits_stride_ * 4);
  arena.place(rope_table_, options_.max_positions * c.rotary_dim() * 4);
  arena.place(attention_workspace_, static_cast<int64_t>(attention_workspace_bytes_));
  arena.place(router_workspace_, static_cast<int64_t>(router_workspace_bytes_));
  arena.place(gemm_workspace_, static_cast<int64_t>(kGemmWorkspaceBytes));
  arena.place(expert_counts_, c.num_hidden_layers * c.moe.num_experts * 8);
  if (c.num_moe_layers() == 0) return;
  arena.place(routing_.expert_ids, slots * 4);
  arena.place(routing_.weights, slots * 4);
  arena.place(routing_.expert_offsets, (experts + 1) * 4);
  arena.place(routing_.sorted_slot, slots * 4);
  arena.place(routing_.position_of, slots * 4);
  routing_.slots_per_row = static_cast<int>(c.moe.top_k + c.moe.num_shared_experts);
  arena.place(moe_scratch_.gathered, slots * c.hidden_size * size);
  arena.place(moe_scratch_.inner, slots * inner * size);
  arena.place(moe_scratch_.outer, slots * c.hidden_size * 4);
  arena.place(moe_scratch_.counters, 2 * 4);
}

GpuModel::GpuModel(const Glm4MoeConfig& config, const GpuWeights& weights,
                   const GpuModelOptions& options, ThreadTeam& team)
    : config_(config),
      weights_(weights),
      options_(options),
      heads_{static_cast<int>(config.num_attention_heads),
             static_cast<int>(config.num_key_value_heads), static_cast<int>(config.head_dim)},
      type_(weights.type()),
      logits_stride_((config.vocab_size + 3) / 4 * 4) {
  const DType kv_type = type_ == cuda::ElementType::kF16 ? DType::kF16 : DType::kBF16;
  kv_ = KvGeometry::of(config, kv_type, options.tokens_per_block);
  if (config.num_moe_layers() > 0) {
    moe_backend_ = make_gpu_moe_backend(options.moe_backend, config, type_, options.num_sms);
    router_workspace_bytes_ =
        cuda::moe_router_workspace_bytes(options.max_rows, moe_router_shape(config, type_));
  }
  if (has_fast_heads(config, options.tokens_per_block)) {
    attention_workspace_bytes_ = cuda::attention_decode_workspace_bytes(heads_, options.num_sms);
  }
  Arena measure(nullptr);
  lay_out(measure);
  workspace_ = DeviceBuffer(measure.used(), "the step's workspace");
  Arena arena(workspace_.data());
  lay_out(arena);
  // Zeros: counters and tickets begin at zero, and padding columns are never anything else.
  GLMOE_CUDA(cudaMemset(workspace_.data(), 0, workspace_.size()));
  cache_ = DeviceBuffer(
      static_cast<size_t>(kv_.num_layers * options.num_blocks * kv_.block_bytes()), "the KV cache");
  dense_gemm_ = std::make_unique<cuda::DenseGemm>(gemm_workspace_, kGemmWorkspaceBytes);

  const RopeTable rope(options.max_positions, config.rotary_dim(), config.rope_theta);
  std::vector<float> table(static_cast<size_t>(options.max_positions * config.rotary_dim()));
  team.parallel_for(options.max_positions, 256, [&](int64_t first, int64_t last, int) {
    for (int64_t position = first; position < last; ++position) {
      std::ranges::copy(rope.at(position), table.begin() + position * config.rotary_dim());
    }
  });
  GLMOE_CUDA(cudaMemcpy(rope_table_, table.data(), table.size() * 4, cudaMemcpyHostToDevice));
}

int64_t GpuModel::workspace_bytes(const Glm4MoeConfig& config, const GpuModelOptions& options) {
  // As the constructor measures it, for a model that need not be there yet.
  const int64_t size = 2;
  const int64_t slots = options.max_rows * (config.moe.top_k + config.moe.num_shared_experts);
  const int64_t inner = GpuWeights::padded(config.moe.moe_intermediate_size);
  const int64_t dense_inner = GpuWeights::padded(config.intermediate_size);
  int64_t bytes = options.max_rows * (config.hidden_size * (8 + size) +
                                      (2 * config.q_size() + 2 * config.kv_size() + 128) * size +
                                      3 * dense_inner * size);
  bytes += slots * (config.hidden_size * (size + 4) + inner * size + 24);
  bytes += options.max_logit_rows * config.vocab_size * 4;
  bytes += options.max_positions * config.rotary_dim() * 4;
  return bytes + (int64_t{256} << 20);  // library workspaces, and rounding
}

cuda::PagedKv GpuModel::layer_cache(int64_t layer) const {
  return {.blocks = cache_.data() + layer * options_.num_blocks * kv_.block_bytes(),
          .num_blocks = options_.num_blocks,
          .tokens_per_block = static_cast<int>(options_.tokens_per_block)};
}

void GpuModel::norm(const float* gamma, const float* x, void* out, int num_rows,
                    cudaStream_t stream) {
  cuda::RmsNormParams p;
  p.x = x;
  p.gamma = gamma;
  p.out = out;
  p.x_type = cuda::ElementType::kF32;
  p.gamma_type = cuda::ElementType::kF32;
  p.out_type = type_;
  p.num_rows = num_rows;
  p.hidden_size = static_cast<int>(config_.hidden_size);
  p.eps = static_cast<float>(config_.rms_norm_eps);
  cuda::launch_rms_norm(p, stream);
}

void GpuModel::project(const void* x, const GpuMatrix& w, const float* bias, const void* bias_16,
                       void* out, int num_rows, cudaStream_t stream) {
  if (num_rows <= kMaxStreamedRows) {
    cuda::StreamGemmParams p;
    p.x = x;
    p.w = w.data;
    p.out = out;
    p.bias = bias;
    p.type = type_;
    p.epilogue = cuda::StreamEpilogue::kStore;
    p.num_rows = num_rows;
    p.out_size = static_cast<int>(w.rows);
    p.in_size = static_cast<int>(w.cols);
    p.x_stride = w.cols;
    p.out_stride = w.rows;
    cuda::launch_stream_gemm(p, options_.num_sms, stream);
    return;
  }
  cuda::DenseGemmParams p;
  p.x = x;
  p.w = w.data;
  p.out = out;
  p.bias = bias_16;
  p.type = type_;
  p.num_rows = num_rows;
  p.out_size = w.rows;
  p.in_size = w.cols;
  p.x_stride = w.cols;
  p.out_stride = w.rows;
  dense_gemm_->run(p, stream);
}

void GpuModel::project_onto(const void* x, const GpuMatrix& w, float* residual, int num_rows,
                            cudaStream_t stream) {
  if (num_rows <= kMaxStreamedRows) {
    cuda::StreamGemmParams p;
    p.x = x;
    p.w = w.data;
    p.out = residual;
    p.type = type_;
    p.epilogue = cuda::StreamEpilogue::kAddF32;
    p.num_rows = num_rows;
    p.out_size = static_cast<int>(w.rows);
    p.in_size = static_cast<int>(w.cols);
    p.x_stride = w.cols;
    p.out_stride = w.rows;
    cuda::launch_stream_gemm(p, options_.num_sms, stream);
    return;
  }
  cuda::DenseGemmParams p;
  p.x = x;
  p.w = w.data;
  p.out = residual;
  p.type = type_;
  p.wide = true;
  p.accumulate = true;
  p.num_rows = num_rows;
  p.out_size = w.rows;
  p.in_size = w.cols;
  p.x_stride = w.cols;
  p.out_stride = w.rows;
  dense_gemm_->run(p, stream);
}

void GpuModel::attention(const GpuBatch& batch, const GpuLayer& layer, int64_t index,
                         cudaStream_t stream) {
  const bool fast = has_fast_heads(config_, options_.tokens_per_block);
  norm(layer.input_norm, residual_, normed_, batch.num_rows, stream);
  project(normed_, layer.qkv, layer.qkv_bias, layer.qkv_bias_16, qkv_, batch.num_rows, stream);

  cuda::RopeKvWriteParams rope;
  rope.qkv = qkv_;
  rope.type = type_;
  rope.heads = heads_;
  rope.q_norm = layer.q_norm;
  rope.k_norm = layer.k_norm;
  rope.eps = static_cast<float>(config_.rms_norm_eps);
  rope.rope_table = rope_table_;
  rope.rotary_dim = static_cast<int>(config_.rotary_dim());
  rope.positions = batch.positions;
  rope.slots = batch.slots;
  rope.kv = layer_cache(index);
  rope.num_rows = batch.num_rows;
  fast ? cuda::launch_rope_kv_write(rope, stream)
       : cuda::launch_rope_kv_write_generic(rope, stream);

  const int64_t out_stride = layer.o.cols;
  if (batch.num_decode > 0 && fast) {
    cuda::AttentionDecodeParams p;
    p.qkv = qkv_;
    p.out = attended_;
    p.type = type_;
    p.heads = heads_;
    p.kv = layer_cache(index);
    p.row = batch.decode_rows;
    p.kv_len = batch.decode_kv_lens;
    p.block_tables = batch.decode_tables;
    p.block_table_stride = batch.table_stride;
    p.num_sequences = batch.num_decode;
    p.workspace = attention_workspace_;
    p.workspace_bytes = attention_workspace_bytes_;
    cuda::launch_attention_decode(p, stream);
  }
  cuda::AttentionPrefillParams p;
  p.qkv = qkv_;
  p.out = attended_;
  p.type = type_;
  p.heads = heads_;
  p.kv = layer_cache(index);
  p.block_table_stride = batch.table_stride;
  if (batch.num_decode > 0 && !fast) {
    p.row_begin = batch.decode_rows;
    p.num_rows = batch.decode_one;
    p.kv_len = batch.decode_kv_lens;
    p.block_tables = batch.decode_tables;
    p.num_sequences = batch.num_decode;
    p.max_num_rows = 1;
    cuda::launch_attention_generic(p, out_stride, stream);
  }
  if (batch.num_prefill > 0) {
    p.row_begin = batch.prefill_row_begins;
    p.num_rows = batch.prefill_num_rows;
    p.kv_len = batch.prefill_kv_lens;
    p.block_tables = batch.prefill_tables;
    p.num_sequences = batch.num_prefill;
    p.max_num_rows = batch.max_prefill_rows;
    fast ? cuda::launch_attention_prefill(p, stream)
         : cuda::launch_attention_generic(p, out_stride, stream);
  }
  project_onto(attended_, layer.o, residual_, batch.num_rows, stream);
}

void GpuModel::mlp(const GpuMlp& mlp, int num_rows, cudaStream_t stream) {
  const auto inner = static_cast<int>(mlp.down.cols);
  if (num_rows <= kMaxStreamedRows) {
    cuda::StreamGemmParams p;
    p.x = normed_;
    p.w = mlp.gate_up.data;
    p.out = inner_;
    p.type = type_;
    p.epilogue = cuda::StreamEpilogue::kSwiglu;
    p.num_rows = num_rows;
    p.out_size = static_cast<int>(mlp.gate_up.rows);
    p.in_size = static_cast<int>(mlp.gate_up.cols);
    p.x_stride = mlp.gate_up.cols;
    p.out_stride = inner;
    cuda::launch_stream_gemm(p, options_.num_sms, stream);
  } else {
    project(normed_, mlp.gate_up, nullptr, nullptr, gate_up_, num_rows, stream);
    cuda::SiluMulParams p;
    p.gate_up = gate_up_;
    p.out = inner_;
    p.in_type = type_;
    p.out_type = type_;
    p.num_rows = num_rows;
    p.width = inner;
    p.interleave = cuda::kGateUpBy8;
    cuda::launch_silu_mul(p, stream);
  }
  project_onto(inner_, mlp.down, tail_, num_rows, stream);
}

void GpuModel::moe(const GpuMoe& moe, int64_t index, int num_rows, const int32_t* num_valid,
                   cudaStream_t stream) {
  cuda::MoeRouterParams p = moe_router_shape(config_, type_);
  p.x = normed_;
  p.weight = moe.router;
  p.selection_bias = moe.selection_bias;
  p.num_valid = num_valid;
  p.expert_ids = routing_.expert_ids;
  p.weights = routing_.weights;
  p.expert_counts = expert_counts_ + index * config_.moe.num_experts;
  p.expert_offsets = routing_.expert_offsets;
  p.sorted_slot = routing_.sorted_slot;
  p.position_of = routing_.position_of;
  p.workspace = router_workspace_;
  p.workspace_bytes = router_workspace_bytes_;
  p.num_rows = num_rows;
  cuda::launch_moe_router(p, stream);
  moe_backend_->forward({.x = normed_,
                         .residual = tail_,
                         .num_rows = num_rows,
                         .num_valid = num_valid,
                         .routing = routing_,
                         .scratch = moe_scratch_},
                        moe, stream);
}

void GpuModel::forward(const GpuBatch& batch, cudaStream_t stream) {
  const auto hidden = static_cast<int>(config_.hidden_size);
  float* const all_rows = residual_;
  float* const compact = tail_;
  cuda::EmbeddingParams embed;
  embed.token_ids = batch.token_ids;
  embed.table = weights_.embedding().data;
  embed.out = residual_;
  embed.table_type = type_;
  embed.num_tokens = batch.num_rows;
  embed.hidden_size = hidden;
  embed.vocab_size = static_cast<int>(config_.vocab_size);
  cuda::launch_embedding(embed, stream);
  if (probe_) probe_(-1, residual_, batch.num_rows);

  tail_ = all_rows;  // the second half of a layer works on every row but in the last layer
  int num_rows = batch.num_rows;
  const int32_t* num_valid = batch.num_valid;
  const auto num_layers = static_cast<int64_t>(weights_.layers().size());
  for (int64_t l = 0; l < num_layers; ++l) {
    const GpuLayer& layer = weights_.layers()[static_cast<size_t>(l)];
    attention(batch, layer, l, stream);
    if (l + 1 == num_layers && !batch.all_rows_have_logits) {
      num_rows = batch.num_logit_rows;
      num_valid = nullptr;
      tail_ = compact;
      cuda::launch_gather_rows(all_rows, batch.logit_rows, compact, num_rows, hidden, stream);
    }
    if (num_rows > 0) {
      norm(layer.post_attention_norm, tail_, normed_, num_rows, stream);
      layer.mlp ? mlp(*layer.mlp, num_rows, stream)
                : moe(*layer.moe, l, num_rows, num_valid, stream);
    }
    if (probe_) probe_(l, tail_, num_rows);
  }
  if (num_rows > 0) norm(weights_.final_norm(), tail_, normed_, num_rows, stream);
  residual_ = all_rows;
  tail_ = compact;
}

void GpuModel::head(int first, int count, cudaStream_t stream) {
  GLMOE_CHECK_LE(count, options_.max_logit_rows, "rows of logits");
  const auto hidden = static_cast<int>(config_.hidden_size);
  const std::byte* x = static_cast<const std::byte*>(normed_) +
                       static_cast<size_t>(first) * hidden * cuda::element_size(type_);
  const GpuMatrix& w = weights_.lm_head();
  if (count <= kMaxStreamedRows) {
    cuda::StreamGemmParams p;
    p.x = x;
    p.w = w.data;
    p.out = logits_;
    p.type = type_;
    p.epilogue = cuda::StreamEpilogue::kStoreF32;
    p.num_rows = count;
    p.out_size = static_cast<int>(w.rows);
    p.in_size = hidden;
    p.x_stride = hidden;
    p.out_stride = logits_stride_;
    cuda::launch_stream_gemm(p, options_.num_sms, stream);
    return;
  }
  cuda::DenseGemmParams p;
  p.x = x;
  p.w = w.data;
  p.out = logits_;
  p.type = type_;
  p.wide = true;
  p.num_rows = count;
  p.out_size = w.rows;
  p.in_size = hidden;
  p.x_stride = hidden;
  p.out_stride = logits_stride_;
  dense_gemm_->run(p, stream);
}

}  // namespace glmoe
