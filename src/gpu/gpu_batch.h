// The rows of one step as the GPU's kernels read them: numbers that the host knows, and arrays in
// device memory whose addresses never change, so that captured graphs can read them.
#pragma once

#include <cstdint>

namespace glmoe {

struct GpuBatch {
  int num_rows = 0;          // T, padding included
  int num_decode = 0;        // sequences of one row; with padding in a graph
  int num_prefill = 0;       // sequences of more rows
  int max_prefill_rows = 0;  // of one sequence
  int num_logit_rows = 0;
  bool all_rows_have_logits = false;

  const int32_t* num_valid = nullptr;   // one number: rows from it on are padding
  const int32_t* token_ids = nullptr;   // [T]
  const int32_t* positions = nullptr;   // [T]
  const int32_t* slots = nullptr;       // [T]: block * P + offset; -1: padding
  const int32_t* logit_rows = nullptr;  // rows whose logits are wanted
  // Sequences of one row, [num_decode] each; kv_len 0: padding.
  const int32_t* decode_rows = nullptr;
  const int32_t* decode_kv_lens = nullptr;
  const int32_t* decode_one = nullptr;  // ones, as many as there may be sequences
  const int32_t* decode_tables = nullptr;
  // The others.
  const int32_t* prefill_row_begins = nullptr;
  const int32_t* prefill_num_rows = nullptr;
  const int32_t* prefill_kv_lens = nullptr;
  const int32_t* prefill_tables = nullptr;
  int64_t table_stride = 0;  // blocks, of both tables
};

}  // namespace glmoe
