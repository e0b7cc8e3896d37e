#include "gpu/step_layout.h"

#include <algorithm>

#include "base/check.h"

namespace glmoe {
namespace {

int64_t aligned(int64_t count) { return (count + 31) / 32 * 32; }

}  // namespace

// Offsets into the buffer, in 32-bit numbers. The tables come last.
struct StepLayout::Arrays {
  Arrays(int64_t rows, int64_t sequences, int64_t logit_rows, int64_t blocks)
      : num_valid(0),
        token_ids(32),
        positions(token_ids + aligned(rows)),
        slots(positions + aligned(rows)),
        logit_row(slots + aligned(rows)),
        decode_rows(logit_row + aligned(logit_rows)),
        decode_kv_lens(decode_rows + aligned(sequences)),
        decode_one(decode_kv_lens + aligned(sequences)),
        prefill_row_begins(decode_one + aligned(sequences)),
        prefill_num_rows(prefill_row_begins + aligned(sequences)),
        prefill_kv_lens(prefill_num_rows + aligned(sequences)),
        tables(prefill_kv_lens + aligned(sequences)),
        table_stride(blocks),
        end(tables + sequences * blocks) {}

  int64_t num_valid, token_ids, positions, slots, logit_row;
  int64_t decode_rows, decode_kv_lens, decode_one;
  int64_t prefill_row_begins, prefill_num_rows, prefill_kv_lens;
  int64_t tables, table_stride, end;  // decoding sequences first
};

StepLayout::StepLayout(const StepInputLimits& limits)
    : limits_(limits),
      capacity_(
          Arrays(limits.max_rows, limits.max_sequences, limits.max_rows, limits.max_blocks).end) {}

StepLayout::Arrays StepLayout::fixed_arrays() const {
  return {limits_.max_sequences, limits_.max_sequences, 0, limits_.max_blocks};
}

GpuBatch StepLayout::batch_at(const Arrays& arrays, const int32_t* base) {
  GpuBatch batch;
  batch.num_valid = base + arrays.num_valid;
  batch.token_ids = base + arrays.token_ids;
  batch.positions = base + arrays.positions;
  batch.slots = base + arrays.slots;
  batch.logit_rows = base + arrays.logit_row;
  batch.decode_rows = base + arrays.decode_rows;
  batch.decode_kv_lens = base + arrays.decode_kv_lens;
  batch.decode_one = base + arrays.decode_one;
  batch.prefill_row_begins = base + arrays.prefill_row_begins;
  batch.prefill_num_rows = base + arrays.prefill_num_rows;
  batch.prefill_kv_lens = base + arrays.prefill_kv_lens;
  batch.decode_tables = base + arrays.tables;
  batch.prefill_tables = base + arrays.tables;
  batch.table_stride = arrays.table_stride;
  return batch;
}

GpuBatch StepLayout::fill(const StepPlan& plan, int32_t* host, const int32_t* device,
                          int64_t& used) const {
  int64_t rows = 0;
  int64_t blocks = 1;
  int64_t num_decode = 0;
  for (const SequenceStep& s : plan.sequences) {
    const auto num_rows = static_cast<int64_t>(s.token_ids.size());
    rows += num_rows;
    num_decode += num_rows == 1 ? 1 : 0;
    const int64_t end = s.start_position + num_rows;
    blocks = std::max(blocks, (end + limits_.tokens_per_block - 1) / limits_.tokens_per_block);
  }
  const auto sequences = static_cast<int64_t>(plan.sequences.size());
  GLMOE_CHECK_LE(rows, limits_.max_rows, "rows of a step");
  GLMOE_CHECK_LE(sequences, limits_.max_sequences, "sequences of a step");
  GLMOE_CHECK_LE(blocks, limits_.max_blocks, "blocks of a sequence");
  const Arrays at(rows, sequences, rows, blocks);
  GpuBatch batch = batch_at(at, device);
  batch.prefill_tables += num_decode * blocks;

  host[at.num_valid] = static_cast<int32_t>(rows);
  int64_t row = 0;
  for (const SequenceStep& s : plan.sequences) {
    const auto num_rows = static_cast<int64_t>(s.token_ids.size());
    std::ranges::copy(s.token_ids, host + at.token_ids + row);
    for (int64_t i = 0; i < num_rows; ++i) {
      const int64_t position = s.start_position + i;
      const int32_t block = s.block_table[static_cast<size_t>(position / limits_.tokens_per_block)];
      host[at.positions + row + i] = static_cast<int32_t>(position);
      host[at.slots + row + i] = static_cast<int32_t>(block * limits_.tokens_per_block +
                                                      position % limits_.tokens_per_block);
      if (s.prompt_logprobs || (s.sample && i + 1 == num_rows)) {
        host[at.logit_row + batch.num_logit_rows++] = static_cast<int32_t>(row + i);
      }
    }
    const auto kv_len = static_cast<int32_t>(s.start_position + num_rows);
    int64_t table = 0;
    if (num_rows == 1) {
      const int64_t d = batch.num_decode++;
      host[at.decode_rows + d] = static_cast<int32_t>(row);
      host[at.decode_kv_lens + d] = kv_len;
      host[at.decode_one + d] = 1;
      table = at.tables + d * blocks;
    } else {
      const int64_t p = batch.num_prefill++;
      host[at.prefill_row_begins + p] = static_cast<int32_t>(row);
      host[at.prefill_num_rows + p] = static_cast<int32_t>(num_rows);
      host[at.prefill_kv_lens + p] = kv_len;
      batch.max_prefill_rows = std::max(batch.max_prefill_rows, static_cast<int>(num_rows));
      table = at.tables + (num_decode + p) * blocks;
    }
    std::copy_n(s.block_table.begin(),
                std::min<int64_t>(blocks, static_cast<int64_t>(s.block_table.size())),
                host + table);
    row += num_rows;
  }
  batch.num_rows = static_cast<int>(rows);
  batch.all_rows_have_logits = batch.num_logit_rows == rows;
  used = at.end;
  return batch;
}

GpuBatch StepLayout::decode_batch(int bucket, const int32_t* device) const {
  GpuBatch batch = batch_at(fixed_arrays(), device);
  batch.num_rows = bucket;
  batch.num_decode = bucket;
  batch.num_logit_rows = bucket;
  batch.all_rows_have_logits = true;
  return batch;
}

StepLayout::DecodeParts StepLayout::fill_decode(const StepPlan& plan, int bucket,
                                                int32_t* host) const {
  const auto sequences = static_cast<int64_t>(plan.sequences.size());
  GLMOE_CHECK_LE(sequences, bucket, "sequences of a step");
  const Arrays at = fixed_arrays();
  host[at.num_valid] = static_cast<int32_t>(sequences);
  int64_t blocks = 1;
  for (int64_t i = 0; i < bucket; ++i) {
    const bool valid = i < sequences;
    const SequenceStep* s = valid ? &plan.sequences[static_cast<size_t>(i)] : nullptr;
    const int64_t position = valid ? s->start_position : 0;
    host[at.token_ids + i] = valid ? s->token_ids[0] : 0;
    host[at.positions + i] = static_cast<int32_t>(position);
    host[at.decode_rows + i] = static_cast<int32_t>(i);
    host[at.decode_one + i] = valid ? 1 : 0;
    host[at.decode_kv_lens + i] = valid ? static_cast<int32_t>(position + 1) : 0;
    host[at.slots + i] = -1;
    if (!valid) continue;
    const int32_t block = s->block_table[static_cast<size_t>(position / limits_.tokens_per_block)];
    host[at.slots + i] = static_cast<int32_t>(block * limits_.tokens_per_block +
                                              position % limits_.tokens_per_block);
    const auto count = std::min<int64_t>(static_cast<int64_t>(s->block_table.size()),
                                         position / limits_.tokens_per_block + 1);
    std::copy_n(s->block_table.begin(), count, host + at.tables + i * at.table_stride);
    blocks = std::max(blocks, count);
  }
  return {.tables = at.tables,
          .num_tables = sequences,
          .table_stride = at.table_stride,
          .columns = blocks};
}

}  // namespace glmoe
