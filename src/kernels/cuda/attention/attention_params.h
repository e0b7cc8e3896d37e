// What the three attention kernels are given: rope_kv_write (rope/) fills the paged cache, then
// attention_decode reads it for sequences of one row and attention_prefill for sequences of many.
// What they compute: ops/attention.h. All pointers are device memory. No launch allocates, waits or
// reads device memory on the host, so each can be captured in a graph.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// The heads of this rank. Query head j uses KV head j / (Hq / Hkv).
struct AttentionHeads {
  int num_heads = 0;     // Hq, a multiple of Hkv
  int num_kv_heads = 0;  // Hkv
  int head_dim = 0;      // D: 128, the head size of every GLM-4 MoE model

  __host__ __device__ int group() const { return num_heads / num_kv_heads; }
  __host__ __device__ int qkv_width() const { return (num_heads + 2 * num_kv_heads) * head_dim; }
};

// The cache of one layer: block b begins at element b * 2*Hkv*P*D, K [Hkv, P, D] then V [Hkv, P, D]
// (spec/kv_geometry.h), of the same type as q. What lies in slots past a sequence's end never
// reaches a result, not even a NaN.
struct PagedKv {
  void* blocks = nullptr;    // 128-byte aligned
  int64_t num_blocks = 0;    // num_blocks * 2*Hkv*P is at most 2^31 - 1
  int tokens_per_block = 0;  // P: 16, 32, 64 or 128
};

// RMSNorm of each q and k head where its gamma is given, then the rotation of its first R
// dimensions (half-split pairs i, i + R/2). F32 mathematics, one rounding at the end. q goes to
// qkv's first Hq*D columns, k and v to the cache; the k and v columns of qkv are left as they were.
// The input is qkv itself, or where it is given wide_qkv with its bias.
struct RopeKvWriteParams {
  void* qkv = nullptr;                    // [T, (Hq + 2 Hkv) D] of type; 16-byte aligned
  const float* wide_qkv = nullptr;        // [T, (Hq + 2 Hkv) D] or nullptr
  const float* bias = nullptr;            // [(Hq + 2 Hkv) D] or nullptr; added to wide_qkv
  ElementType type = ElementType::kBf16;  // kBf16 or kF16, of qkv and cache
  AttentionHeads heads;
  const float* q_norm = nullptr;       // [D] or nullptr: no norm of q
  const float* k_norm = nullptr;       // [D] or nullptr: no norm of k
  float eps = 0.0f;                    // of the norms
  const float* rope_table = nullptr;   // [max_positions, R]: R/2 cosines, then R/2 sines
  int rotary_dim = 0;                  // R: a multiple of 16, at most D
  const int32_t* positions = nullptr;  // [T], each within the table
  const int32_t* slots = nullptr;      // [T], block * P + offset; negative: padding, nothing is
                                       // written for the row
  PagedKv kv;
  int64_t num_rows = 0;  // T; 0 does nothing
};

// Sequences of exactly one row each. Row row[s] of sequence s attends to positions 0 ..
// kv_len[s]-1, its own (the last) included; all of them are in the cache. kv_len[s] = 0 is padding:
// nothing is read or written for it. The kernel launched before may still write q and the cache at
// each sequence's last position while this one starts; row, kv_len, block_tables and the other
// positions have to be there.
struct AttentionDecodeParams {
  const void* qkv = nullptr;  // [T, (Hq + 2 Hkv) D] of type; q is its first Hq*D columns
  void* out = nullptr;        // [T, Hq*D] of type
  ElementType type = ElementType::kBf16;  // kBf16 or kF16
  AttentionHeads heads;
  PagedKv kv;
  const int32_t* row = nullptr;           // [S]
  const int32_t* kv_len = nullptr;        // [S]
  const int32_t* block_tables = nullptr;  // [S, block_table_stride]; entries past
                                          // ceil(kv_len / P) are not read
  int64_t block_table_stride = 0;
  int num_sequences = 0;  // S, at most kMaxDecodeSequences; 0 does nothing
  // attention_decode_workspace_bytes of it or more, 128-byte aligned. Zeroed once when allocated;
  // each call leaves it ready for the next. Not to be shared by calls that run at the same time.
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
};

// Sequences of any number of rows. Rows row_begin[s] .. row_begin[s] + num_rows[s] - 1 sit at the
// last num_rows[s] of the positions 0 .. kv_len[s]-1; each attends to the positions up to its own.
// The keys and values of all kv_len[s] positions are in the cache. num_rows[s] = 0 is padding.
struct AttentionPrefillParams {
  const void* qkv = nullptr;              // as in AttentionDecodeParams
  void* out = nullptr;                    // [T, Hq*D] of type; rows of no sequence are left alone
  ElementType type = ElementType::kBf16;  // kBf16 or kF16
  AttentionHeads heads;
  PagedKv kv;
  const int32_t* row_begin = nullptr;     // [S]
  const int32_t* num_rows = nullptr;      // [S]
  const int32_t* kv_len = nullptr;        // [S], num_rows[s] or more
  const int32_t* block_tables = nullptr;  // [S, block_table_stride], as in AttentionDecodeParams
  int64_t block_table_stride = 0;
  int num_sequences = 0;  // S, at most kMaxPrefillSequences; 0 does nothing
  int max_num_rows = 0;   // no num_rows[s] is larger
};

}  // namespace glmoe::cuda
