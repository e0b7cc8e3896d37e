#include "gpu/gpu_model.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "gpu/gpu_choices.h"
#include "gpu/gpu_router.h"
#include "kernels/cuda/attention/attention_decode.h"
#include "kernels/cuda/attention/attention_generic.h"
#include "kernels/cuda/attention/attention_prefill.h"
#include "kernels/cuda/embedding/embedding.h"
#include "kernels/cuda/fill/fill.h"
#include "kernels/cuda/norm/rms_norm.h"
#include "kernels/cuda/rope/rope_kv_write.h"
#include "ops/attention.h"

namespace glmoe {
namespace {

// What the libraries take for themselves, captured graphs, and rounding.
constexpr int64_t kOutsideBytes = int64_t{256} << 20;

}  // namespace

GpuModel::GpuModel(const Glm4MoeConfig& config, const GpuWeights& weights,
                   const GpuModelOptions& options, ThreadTeam& team)
    : config_(config),
      weights_(weights),
      options_(options),
      heads_(attention_heads(config)),
      type_(weights.type()) {
  const DType kv_type = type_ == cuda::ElementType::kF16 ? DType::kF16 : DType::kBF16;
  kv_ = KvGeometry::of(config, kv_type, options.tokens_per_block);
  if (config.num_moe_layers() > 0) {
    moe_backend_ = make_gpu_moe_backend(options.moe_backend, config, type_, options.num_sms);
  }
  workspace_ =
      DeviceBuffer(GpuWorkspace(config, options, type_, nullptr).num_bytes, "the step's workspace");
  at_ = GpuWorkspace(config, options, type_, workspace_.data());
  // Zeros: counters and tickets begin at zero, and padding columns are never anything else.
  GLMOE_CUDA(cudaMemset(workspace_.data(), 0, workspace_.size()));
  cache_ = DeviceBuffer(
      static_cast<size_t>(kv_.num_layers * options.num_blocks * kv_.block_bytes()), "the KV cache");
  dense_gemm_ = std::make_unique<cuda::DenseGemm>(at_.gemm, at_.gemm_bytes);

  const RopeTable rope(options.max_positions, config.rotary_dim(), config.rope_theta);
  std::vector<float> table(static_cast<size_t>(options.max_positions * config.rotary_dim()));
  team.parallel_for(options.max_positions, 256, [&](int64_t first, int64_t last, int) {
    for (int64_t position = first; position < last; ++position) {
      std::ranges::copy(rope.at(position), table.begin() + position * config.rotary_dim());
    }
  });
  GLMOE_CUDA(cudaMemcpy(at_.rope_table, table.data(), table.size() * 4, cudaMemcpyHostToDevice));
}

int64_t GpuModel::workspace_bytes(const Glm4MoeConfig& config, const GpuModelOptions& options) {
  const GpuWorkspace measured(config, options, cuda::ElementType::kBf16, nullptr);
  return static_cast<int64_t>(measured.num_bytes) + kOutsideBytes;
}

// A copy a layer: one strided copy of all would have a whole layer's cache as its pitch, of which
// CUDA takes no more than 2 GiB.
void GpuModel::copy_block(int32_t from, int32_t to, cudaStream_t stream) {
  GLMOE_CHECK(from >= 0 && from < options_.num_blocks && to >= 0 && to < options_.num_blocks,
              "blocks {} and {}", from, to);
  const auto bytes = static_cast<size_t>(kv_.block_bytes());
  for (int64_t layer = 0; layer < kv_.num_layers; ++layer) {
    auto* blocks = static_cast<std::byte*>(layer_cache(layer).blocks);
    GLMOE_CUDA(cudaMemcpyAsync(blocks + static_cast<size_t>(to) * bytes,
                               blocks + static_cast<size_t>(from) * bytes, bytes,
                               cudaMemcpyDeviceToDevice, stream));
  }
}

cuda::PagedKv GpuModel::layer_cache(int64_t layer) const {
  return {.blocks = cache_.data() + layer * options_.num_blocks * kv_.block_bytes(),
          .num_blocks = options_.num_blocks,
          .tokens_per_block = static_cast<int>(options_.tokens_per_block)};
}

void GpuModel::norm(const float* gamma, const float* x, int num_rows, cudaStream_t stream) {
  cuda::RmsNormParams p;
  p.x = x;
  p.gamma = gamma;
  p.out = at_.normed;
  p.row_factors = at_.row_factors;
  p.x_type = cuda::ElementType::kF32;
  p.gamma_type = cuda::ElementType::kF32;
  p.out_type = type_;
  p.num_rows = num_rows;
  p.hidden_size = static_cast<int>(config_.hidden_size);
  p.eps = static_cast<float>(config_.rms_norm_eps);
  cuda::launch_rms_norm(p, stream);
}

void GpuModel::multiply(const GpuProduct& product, cudaStream_t stream) {
  if (product.num_rows <= kMaxStreamedRows) {
    launch_streamed_product(product, type_, options_.num_sms, stream);
  } else {
    launch_library_product(product, type_, *dense_gemm_, at_.gate_up, stream);
  }
}

void GpuModel::project_qkv(const GpuLayer& layer, int num_rows, bool wide, cudaStream_t stream) {
  GpuProduct product{.x = at_.normed, .w = layer.qkv, .num_rows = num_rows};
  if (wide) {
    product.out = at_.wide_qkv;
    product.epilogue = cuda::StreamEpilogue::kStoreF32;
  } else {
    product.out = at_.qkv;
    product.bias = layer.qkv_bias;
    product.bias_16 = layer.qkv_bias_16;
  }
  multiply(product, stream);
}

void GpuModel::attention(const GpuBatch& batch, const GpuLayer& layer, int64_t index,
                         cudaStream_t stream) {
  const bool fast = has_fast_heads(config_, options_.tokens_per_block);
  const bool wide = batch.num_rows <= kMaxWideRows;
  norm(layer.input_norm, at_.residual, batch.num_rows, stream);
  project_qkv(layer, batch.num_rows, wide, stream);

  cuda::RopeKvWriteParams rope;
  rope.qkv = at_.qkv;
  rope.wide_qkv = wide ? at_.wide_qkv : nullptr;
  rope.bias = wide ? layer.qkv_bias : nullptr;
  rope.type = type_;
  rope.heads = heads_;
  rope.q_norm = layer.q_norm;
  rope.k_norm = layer.k_norm;
  rope.eps = static_cast<float>(config_.rms_norm_eps);
  rope.rope_table = at_.rope_table;
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
    p.qkv = at_.qkv;
    p.out = at_.attended;
    p.type = type_;
    p.heads = heads_;
    p.kv = layer_cache(index);
    p.row = batch.decode_rows;
    p.kv_len = batch.decode_kv_lens;
    p.block_tables = batch.decode_tables;
    p.block_table_stride = batch.table_stride;
    p.num_sequences = batch.num_decode;
    p.workspace = at_.attention;
    p.workspace_bytes = at_.attention_bytes;
    cuda::launch_attention_decode(p, stream);
  }
  cuda::AttentionPrefillParams p;
  p.qkv = at_.qkv;
  p.out = at_.attended;
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
  multiply({.x = at_.attended,
            .w = layer.o,
            .out = at_.residual,
            .num_rows = batch.num_rows,
            .epilogue = cuda::StreamEpilogue::kAddF32},
           stream);
}

void GpuModel::mlp(const GpuMlp& mlp, float* residual, int num_rows, cudaStream_t stream) {
  multiply({.x = at_.normed,
            .w = mlp.gate_up,
            .out = at_.inner,
            .num_rows = num_rows,
            .epilogue = cuda::StreamEpilogue::kSwiglu},
           stream);
  multiply({.x = at_.inner,
            .w = mlp.down,
            .out = residual,
            .num_rows = num_rows,
            .epilogue = cuda::StreamEpilogue::kAddF32},
           stream);
}

void GpuModel::moe(const GpuMoe& moe, int64_t index, float* residual, int num_rows,
                   const int32_t* num_valid, cudaStream_t stream) {
  cuda::MoeRouterParams p = moe_router_params(config_, moe, at_.routing);
  p.x = residual;
  p.row_factors = at_.row_factors;
  p.num_valid = num_valid;
  p.expert_counts = at_.expert_counts + index * config_.moe.num_experts;
  p.workspace = at_.router;
  p.workspace_bytes = at_.router_bytes;
  p.num_rows = num_rows;
  cuda::launch_moe_router(p, stream);
  moe_backend_->forward({.x = at_.normed,
                         .residual = residual,
                         .num_rows = num_rows,
                         .num_valid = num_valid,
                         .routing = at_.routing,
                         .scratch = at_.moe},
                        moe, stream);
}

void GpuModel::forward(const GpuBatch& batch, cudaStream_t stream) {
  const auto hidden = static_cast<int>(config_.hidden_size);
  cuda::EmbeddingParams embed;
  embed.token_ids = batch.token_ids;
  embed.table = weights_.embedding().data;
  embed.out = at_.residual;
  embed.table_type = type_;
  embed.num_tokens = batch.num_rows;
  embed.hidden_size = hidden;
  embed.vocab_size = static_cast<int>(config_.vocab_size);
  cuda::launch_embedding(embed, stream);
  if (probe_) probe_(-1, at_.residual, batch.num_rows);

  float* tail = at_.residual;  // the second half of a layer works on every row but in the last one
  int num_rows = batch.num_rows;
  const int32_t* num_valid = batch.num_valid;
  const auto num_layers = static_cast<int64_t>(weights_.layers().size());
  for (int64_t l = 0; l < num_layers; ++l) {
    const GpuLayer& layer = weights_.layers()[static_cast<size_t>(l)];
    attention(batch, layer, l, stream);
    if (l + 1 == num_layers && !batch.all_rows_have_logits) {
      num_rows = batch.num_logit_rows;
      num_valid = nullptr;
      tail = at_.tail;
      cuda::launch_gather_rows(at_.residual, batch.logit_rows, tail, num_rows, hidden, stream);
    }
    if (probe_) probe_(2 * l, tail, num_rows);
    if (num_rows > 0) {
      norm(layer.post_attention_norm, tail, num_rows, stream);
      layer.mlp ? mlp(*layer.mlp, tail, num_rows, stream)
                : moe(*layer.moe, l, tail, num_rows, num_valid, stream);
    }
    if (probe_) probe_(2 * l + 1, tail, num_rows);
  }
  if (num_rows > 0) norm(weights_.final_norm(), tail, num_rows, stream);
}

void GpuModel::head(int first, int count, cudaStream_t stream) {
  GLMOE_CHECK_LE(count, options_.max_logit_rows, "rows of logits");
  const std::byte* x = static_cast<const std::byte*>(at_.normed) +
                       static_cast<size_t>(first) * static_cast<size_t>(config_.hidden_size) *
                           cuda::element_size(type_);
  multiply({.x = x,
            .w = weights_.lm_head(),
            .out = at_.logits,
            .num_rows = count,
            .epilogue = cuda::StreamEpilogue::kStoreF32,
            .out_stride = at_.logits_stride},
           stream);
}

}  // namespace glmoe
