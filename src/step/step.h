// What scheduler and executor exchange: plain values, the same for every rank; the only pointer is
// that to a caller's logits processor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "glmoe/output.h"
#include "glmoe/request.h"
#include "step/id_list.h"

namespace glmoe {

using SequenceId = uint64_t;

// Sampling parameters with every default filled in; what the sampler reads.
struct ResolvedSampling {
  float temperature = 1.0f;  // 0: greedy
  int64_t top_k = 0;         // 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  uint64_t seed = 0;
  uint64_t stream = 0;  // index of the answer, so that n answers of one seed differ
  std::vector<std::pair<int32_t, float>> logit_bias;
  int64_t min_tokens = 0;
  std::vector<int32_t> stop_token_ids;  // not sampled before min_tokens
  int64_t num_logprobs = -1;            // -1: none
  int64_t num_prompt_logprobs = -1;
  // The caller's own function, null for none; it stays in the process whose rank samples.
  std::shared_ptr<const LogitsProcessor> logits_processor;
};

// A sequence that the executor sees for the first time (or again, after it was pre-empted: then
// `output_ids` holds what it had generated, so that penalties and random numbers go on).
struct SequenceStart {
  SequenceId id = 0;
  ResolvedSampling sampling;
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> output_ids;
};

// One sequence's share of a step: `token_ids` go to positions [start_position, ...), whose KV is
// written into `block_table` (block i holds positions [i*P, (i+1)*P)). One cache line: a large
// step is thousands of these.
struct alignas(64) SequenceStep {
  SequenceId id = 0;
  IdList token_ids;
  int64_t start_position = 0;
  IdList block_table;
  bool sample = false;           // the last token's logits yield the next token
  bool prompt_logprobs = false;  // every token's logits are wanted
  // The step was planned before the one ahead of it had run: token_ids holds one place, for the
  // token that that step samples for this sequence. Where it samples none, the row is not computed.
  bool input_from_previous = false;
  // With prompt_logprobs and without sample: the prompt token that follows this chunk.
  int32_t next_token_id = -1;
  // Equal only where block_table is equal, over all steps; 0: says nothing.
  uint64_t table_version = 0;
};
static_assert(sizeof(SequenceStep) == 64);

// The whole content of one block, in every layer, to another.
struct BlockCopy {
  int32_t from = 0;
  int32_t to = 0;
};

struct StepPlan {
  uint64_t step_id = 0;
  std::vector<SequenceStart> started;
  std::vector<SequenceStep> sequences;
  std::vector<SequenceId> released;  // finished, cancelled or pre-empted: state may be dropped
  // Done in this order before any of the step's tokens is written.
  std::vector<BlockCopy> copies;
  bool empty() const { return sequences.empty(); }
  int64_t num_tokens() const;
};

struct SequenceResult {
  SequenceId id = 0;
  bool sampled = false;
  int32_t token_id = 0;
  std::string error;          // not empty: this sequence failed (for example NaN logits)
  PositionLogprobs logprobs;  // of token_id, where asked for
  std::vector<PositionLogprobs> prompt_logprobs;  // entry i: of prompt token start_position+i+1
};

struct StepResult {
  uint64_t step_id = 0;
  std::vector<SequenceResult> sequences;  // in the plan's order
};

}  // namespace glmoe
