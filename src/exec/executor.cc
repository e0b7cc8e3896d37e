#include "exec/executor.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"

namespace glmoe {
namespace {

// Rows of a plan in the order of its sequences, and which of them need logits.
BatchInput make_batch(const StepPlan& plan) {
  BatchInput batch;
  int64_t row = 0;
  for (const SequenceStep& sequence : plan.sequences) {
    const auto num_rows = static_cast<int64_t>(sequence.token_ids.size());
    batch.token_ids.insert(batch.token_ids.end(), sequence.token_ids.begin(),
                           sequence.token_ids.end());
    batch.sequences.push_back({.row_begin = row,
                               .num_rows = num_rows,
                               .start_position = sequence.start_position,
                               .block_table = sequence.block_table});
    for (int64_t i = 0; i < num_rows; ++i) {
      const bool last = i + 1 == num_rows;
      if (sequence.prompt_logprobs || (sequence.sample && last)) {
        batch.logit_rows.push_back(row + i);
      }
    }
    row += num_rows;
  }
  return batch;
}

}  // namespace

CpuExecutor::CpuExecutor(const Glm4MoeConfig& config, std::shared_ptr<const LoadedWeights> weights,
                         std::shared_ptr<ThreadTeam> team, const CpuExecutorOptions& options)
    : config_(config),
      weights_(std::move(weights)),
      team_(std::move(team)),
      kv_(KvGeometry::of(config_, options.compute_dtype, options.tokens_per_block),
          options.num_blocks),
      ctx_{.team = team_.get(), .workspace = &workspace_, .compute_dtype = options.compute_dtype},
      model_(config_, weights_->weights(), options.moe_backend, options.tokens_per_block),
      sampler_(config.vocab_size, options.num_valid_tokens > 0
                                      ? std::min(options.num_valid_tokens, config.vocab_size)
                                      : config.vocab_size),
      fault_(options.fault) {}

StepResult CpuExecutor::execute(const StepPlan& plan) {
  for (const SequenceId id : plan.released) sampler_.release(id);
  for (const SequenceStart& start : plan.started) sampler_.start(start);

  StepResult result;
  result.step_id = plan.step_id;
  if (plan.empty()) return result;
  maybe_fail_step(fault_, plan.step_id);
  for (const BlockCopy& copy : plan.copies) kv_.copy_block(copy.from, copy.to);
  const BatchInput batch = make_batch(plan);
  workspace_.reset();
  const TensorView logits = model_.forward(ctx_, batch, kv_);
  sample_rows(plan, logits, result);
  return result;
}

void CpuExecutor::sample_rows(const StepPlan& plan, const TensorView& logits, StepResult& result) {
  const int64_t vocab_size = logits.shape[1];
  const auto num_sequences = static_cast<int64_t>(plan.sequences.size());
  result.sequences.resize(plan.sequences.size());
  std::vector<int64_t> first_row(plan.sequences.size());
  int64_t row = 0;
  for (size_t s = 0; s < plan.sequences.size(); ++s) {
    const SequenceStep& sequence = plan.sequences[s];
    first_row[s] = row;
    row += sequence.prompt_logprobs ? static_cast<int64_t>(sequence.token_ids.size())
                                    : (sequence.sample ? 1 : 0);
  }
  GLMOE_CHECK_EQ(row, logits.shape[0]);

  const auto logits_row = [&](int64_t r) {
    return std::span<float>(logits.as<float>() + r * vocab_size, static_cast<size_t>(vocab_size));
  };
  if (fault_.strikes(FaultKind::kNanLogits, plan.step_id)) {
    const auto samples = std::ranges::find_if(plan.sequences, &SequenceStep::sample);
    if (samples != plan.sequences.end()) {
      const int64_t scored =
          samples->prompt_logprobs ? static_cast<int64_t>(samples->token_ids.size()) - 1 : 0;
      const int64_t r = first_row[static_cast<size_t>(samples - plan.sequences.begin())] + scored;
      logits_row(r)[0] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  const auto finish = [&](size_t s) {
    const SequenceStep& sequence = plan.sequences[s];
    int64_t next_row = first_row[s];
    std::vector<PositionLogprobs> prompt_logprobs;
    if (sequence.prompt_logprobs) {
      // Row i predicts token i + 1 of the chunk; the last row predicts the token to come.
      for (size_t i = 0; i + 1 < sequence.token_ids.size(); ++i) {
        prompt_logprobs.push_back(sampler_.prompt_logprob(sequence.id, logits_row(next_row++),
                                                          sequence.token_ids[i + 1]));
      }
      if (!sequence.sample) {
        GLMOE_CHECK(sequence.next_token_id >= 0);
        prompt_logprobs.push_back(
            sampler_.prompt_logprob(sequence.id, logits_row(next_row++), sequence.next_token_id));
      }
    }
    if (sequence.sample) {
      result.sequences[s] = sampler_.sample(sequence.id, logits_row(next_row));
    }
    result.sequences[s].id = sequence.id;
    result.sequences[s].prompt_logprobs = std::move(prompt_logprobs);
  };
  team_->parallel_for(num_sequences, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t s = begin; s < end; ++s) finish(static_cast<size_t>(s));
  });
}

std::string CpuExecutor::describe_moe() const {
  const MoeBackend& backend = model_.moe_backend();
  return fmt::format("{} ({})", backend.name(), backend.implementation());
}

void CpuExecutor::prefill(std::span<const int32_t> token_ids, int64_t chunk,
                          const std::function<void(const BatchInput&)>& take) {
  const auto num_tokens = static_cast<int64_t>(token_ids.size());
  const KvGeometry& geometry = kv_.geometry();
  const int64_t num_blocks = geometry.blocks_for(num_tokens);
  GLMOE_CHECK_LE(num_blocks, kv_.num_blocks(), "text of {} tokens", num_tokens);
  std::vector<int32_t> blocks(static_cast<size_t>(num_blocks));
  std::iota(blocks.begin(), blocks.end(), 0);

  for (int64_t begin = 0; begin < num_tokens; begin += chunk) {
    const int64_t count = std::min(chunk, num_tokens - begin);
    BatchInput batch;
    batch.token_ids.assign(token_ids.begin() + begin, token_ids.begin() + begin + count);
    batch.sequences.push_back(
        {.row_begin = 0, .num_rows = count, .start_position = begin, .block_table = blocks});
    batch.logit_rows.resize(static_cast<size_t>(count));
    std::iota(batch.logit_rows.begin(), batch.logit_rows.end(), 0);
    workspace_.reset();
    take(batch);
  }
}

std::vector<float> CpuExecutor::logits(std::span<const int32_t> token_ids, int64_t chunk) {
  std::vector<float> all;
  prefill(token_ids, chunk, [&](const BatchInput& batch) {
    const TensorView logits = model_.forward(ctx_, batch, kv_);
    all.insert(all.end(), logits.as<float>(), logits.as<float>() + logits.num_elements());
  });
  return all;
}

Tensor CpuExecutor::prompt_rows(PromptRows what, std::span<const int32_t> token_ids,
                                int64_t chunk) {
  const bool hidden = what == PromptRows::kHiddenStates;
  const auto num_tokens = static_cast<int64_t>(token_ids.size());
  const int64_t width = hidden ? config_.hidden_size : config_.vocab_size;
  const auto memory =
      std::make_shared<Buffer>(static_cast<size_t>(num_tokens * width) * sizeof(float));
  std::byte* next = memory->data();
  prefill(token_ids, chunk, [&](const BatchInput& batch) {
    const TensorView rows =
        hidden ? model_.model().forward(ctx_, batch, kv_) : model_.forward(ctx_, batch, kv_);
    std::memcpy(next, rows.data, rows.num_bytes());
    next += rows.num_bytes();
  });
  return {.data = memory->data(),
          .kind = ElementKind::kFloat32,
          .shape = {num_tokens, width},
          .owner = memory};
}

}  // namespace glmoe
