// A model of the caller's own behind the engine: scheduling, sampling, streams, text and chat are
// the engine's, the forward pass is a function. The Python package runs Hugging Face's models so.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace glmoe {

// One sequence's share of a step. Its keys and values of positions before `start_position` are the
// function's to keep, under `id`; 0 begins the sequence anew, also one that has run before.
struct ForwardSequence {
  uint64_t id = 0;
  std::vector<int32_t> token_ids;  // at positions start_position, start_position + 1, ...
  int64_t start_position = 0;
  int64_t num_logit_rows = 0;  // of its last tokens: 0, 1 or all
};

struct ForwardBatch {
  std::vector<ForwardSequence> sequences;
  std::vector<uint64_t> released;  // ended or pre-empted: what is kept for them can go, first
};

// Fills `logits` [rows, V]: the wanted rows of the first sequence, of the second, ... Called on a
// thread of the engine, one call at a time. What it throws fails the step: its answers end with
// kError, and the engine goes on.
using ForwardFunction = std::function<void(const ForwardBatch& batch, std::span<float> logits)>;

}  // namespace glmoe
