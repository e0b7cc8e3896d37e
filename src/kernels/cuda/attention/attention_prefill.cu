#include "kernels/cuda/attention/attention_prefill.h"

#include <bit>
#include <cmath>

#include "kernels/cuda/attention/attention_checks.h"
#include "kernels/cuda/attention/prefill_block.cuh"

namespace glmoe::cuda {
namespace {

constexpr const char* kOp = "attention_prefill";
constexpr int kMaxRows = 1 << 20;  // of a sequence

void check_params(const AttentionPrefillParams& p) {
  check_attention_shape(kOp, p.type, p.heads, p.kv);
  if (p.num_sequences < 0 || p.num_sequences > kMaxPrefillSequences) {
    refuse_attention(kOp, "num_sequences is " + std::to_string(p.num_sequences) + ", wanted 0 to " +
                              std::to_string(kMaxPrefillSequences));
  }
  if (p.heads.group() > 32) {
    refuse_attention(kOp, "num_heads is " + std::to_string(p.heads.num_heads) +
                              ", wanted at most 32 for each of num_kv_heads " +
                              std::to_string(p.heads.num_kv_heads));
  }
  if (p.max_num_rows < 1 || p.max_num_rows > kMaxRows) {
    refuse_attention(kOp, "max_num_rows is " + std::to_string(p.max_num_rows) + ", wanted 1 to " +
                              std::to_string(kMaxRows) + ": use smaller prefill chunks");
  }
  check_attention_pointer(kOp, "qkv", p.qkv, 16);
  check_attention_pointer(kOp, "out", p.out, 16);
  check_attention_pointer(kOp, "row_begin", p.row_begin, 4);
  check_attention_pointer(kOp, "num_rows", p.num_rows, 4);
  check_attention_pointer(kOp, "kv_len", p.kv_len, 4);
  check_attention_pointer(kOp, "block_tables", p.block_tables, 4);
  if (p.block_table_stride < 1) {
    refuse_attention(kOp, "block_table_stride is " + std::to_string(p.block_table_stride) +
                              ", wanted the number of blocks of the longest sequence");
  }
}

}  // namespace

void launch_attention_prefill(const AttentionPrefillParams& params, cudaStream_t stream) {
  if (params.num_sequences == 0) return;
  check_params(params);
  PrefillKernelParams k{};
  k.p = params;
  k.cache = {params.heads.num_kv_heads,
             std::countr_zero(static_cast<unsigned>(params.kv.tokens_per_block))};
  k.group = params.heads.group();
  k.group_inverse =
      k.group == 1 ? 0 : static_cast<unsigned>(((uint64_t{1} << 32) + k.group - 1) / k.group);
  k.qkv_width = params.heads.qkv_width();
  k.score_scale = static_cast<float>(1.4426950408889634 /
                                     std::sqrt(static_cast<double>(params.heads.head_dim)));
  const CUtensorMap map = make_kv_map(params.heads, params.kv, params.type);
  launch_prefill_wgmma(k, map, params.type, num_multiprocessors(), stream);
}

}  // namespace glmoe::cuda
