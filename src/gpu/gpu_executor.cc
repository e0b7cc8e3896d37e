#include "gpu/gpu_executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "kernels/cuda/sample/argmax.h"

namespace glmoe {
namespace {

constexpr float kGreedyTemperature = 1e-5f;  // as the sampler has it
constexpr int64_t kMinLogitRows = 16;

bool is_plain_greedy(const ResolvedSampling& s) {
  return s.temperature < kGreedyTemperature && s.repetition_penalty == 1.0f &&
         s.presence_penalty == 0.0f && s.frequency_penalty == 0.0f && s.logit_bias.empty() &&
         (s.min_tokens == 0 || s.stop_token_ids.empty()) && s.num_logprobs < 0 &&
         s.num_prompt_logprobs < 0;
}

GpuModelOptions model_options(const GpuExecutorOptions& options, int num_sms) {
  return {.moe_backend = options.moe_backend,
          .max_rows = options.max_num_tokens,
          .max_logit_rows = std::max(options.max_batch_size, kMinLogitRows),
          .max_positions = options.max_seq_len,
          .tokens_per_block = options.tokens_per_block,
          .num_blocks = options.num_blocks,
          .num_sms = num_sms};
}

int64_t blocks_for(int64_t tokens, int64_t tokens_per_block) {
  return (tokens + tokens_per_block - 1) / tokens_per_block;
}

}  // namespace

GpuExecutor::GpuExecutor(const Glm4MoeConfig& config, std::shared_ptr<const GpuWeights> weights,
                         const GpuExecutorOptions& options, int num_sms, ThreadTeam& team)
    : config_(config),
      weights_(std::move(weights)),
      options_(options),
      num_valid_tokens_(options.num_valid_tokens > 0
                            ? std::min(options.num_valid_tokens, config.vocab_size)
                            : config.vocab_size),
      model_(config_, *weights_, model_options(options, num_sms), team),
      inputs_({.max_rows = options.max_num_tokens,
               .max_sequences = options.max_batch_size,
               .max_blocks = blocks_for(options.max_seq_len, options.tokens_per_block),
               .tokens_per_block = options.tokens_per_block}),
      outcomes_(static_cast<size_t>(options.max_batch_size) * sizeof(cuda::SampleOutcome),
                "the sampled tokens"),
      outcomes_host_(outcomes_.size()),
      sampler_(config.vocab_size, num_valid_tokens_) {
  if (options_.cuda_graphs) capture_graphs();
}

int GpuExecutor::bucket_of(size_t num_sequences) const {
  constexpr int kFine = 8;  // below, buckets double; above, they are multiples of it
  int bucket = 1;
  while (bucket < kFine && bucket < static_cast<int>(num_sequences)) bucket *= 2;
  if (bucket < static_cast<int>(num_sequences)) {
    const int step = num_sequences <= 64 ? kFine : 4 * kFine;
    bucket = (static_cast<int>(num_sequences) + step - 1) / step * step;
  }
  return std::min(bucket, static_cast<int>(options_.max_batch_size));
}

void GpuExecutor::enqueue_argmax(int num_rows) {
  cuda::ArgmaxParams p;
  p.logits = model_.logits();
  p.row_stride = model_.logits_stride();
  p.num_rows = num_rows;
  p.num_tokens = static_cast<int>(num_valid_tokens_);
  p.outcomes = reinterpret_cast<cuda::SampleOutcome*>(outcomes_.data());
  cuda::launch_argmax(p, stream_.get());
  GLMOE_CUDA(cudaMemcpyAsync(outcomes_host_.data(), outcomes_.data(),
                             static_cast<size_t>(num_rows) * sizeof(cuda::SampleOutcome),
                             cudaMemcpyDeviceToHost, stream_.get()));
}

// From the largest on: what the library sets up at its first use is then there for all.
void GpuExecutor::capture_graphs() {
  for (int n = static_cast<int>(options_.max_batch_size); n >= 1;) {
    const int bucket = bucket_of(static_cast<size_t>(n));
    if (graphs_.count(bucket) == 0) {
      const GpuBatch batch = inputs_.decode_batch(bucket);
      graphs_.emplace(bucket, CudaGraph(stream_.get(), [&] {
                        model_.forward(batch, stream_.get());
                        model_.head(0, bucket, stream_.get());
                        enqueue_argmax(bucket);
                      }));
    }
    n = std::min(n, bucket) - 1;
    while (n >= 1 && graphs_.count(bucket_of(static_cast<size_t>(n))) != 0) --n;
  }
  stream_.synchronize();
}

bool GpuExecutor::runs_as_graph(const StepPlan& plan) const {
  if (graphs_.empty()) return false;
  return std::ranges::all_of(plan.sequences, [](const SequenceStep& s) {
    return s.token_ids.size() == 1 && s.sample && !s.prompt_logprobs;
  });
}

StepResult GpuExecutor::execute(const StepPlan& plan) {
  for (const SequenceId id : plan.released) {
    sampler_.release(id);
    is_greedy_.erase(id);
  }
  for (const SequenceStart& start : plan.started) {
    const bool greedy = is_plain_greedy(start.sampling);
    is_greedy_[start.id] = greedy;
    if (!greedy) sampler_.start(start);
  }
  StepResult result;
  result.step_id = plan.step_id;
  if (plan.empty()) return result;
  result.sequences.resize(plan.sequences.size());
  if (runs_as_graph(plan)) {
    const int bucket = bucket_of(plan.sequences.size());
    inputs_.upload_decode(plan, bucket, stream_.get());
    graphs_.at(bucket).launch(stream_.get());
  } else {
    const GpuBatch batch = inputs_.upload(plan, stream_.get());
    model_.forward(batch, stream_.get());
    const int rows = batch.num_logit_rows;
    if (rows > 0 && rows <= options_.max_batch_size) {
      model_.head(0, rows, stream_.get());
      enqueue_argmax(rows);
    }
  }
  stream_.synchronize();
  sample(plan, result);
  return result;
}

const float* GpuExecutor::fetch_logits(int first, int count) {
  logits_host_.resize(static_cast<size_t>(count) * static_cast<size_t>(config_.vocab_size));
  const auto width = static_cast<size_t>(config_.vocab_size) * 4;
  GLMOE_CUDA(cudaMemcpy2DAsync(logits_host_.data(), width,
                               model_.logits() + first * model_.logits_stride(),
                               static_cast<size_t>(model_.logits_stride()) * 4, width,
                               static_cast<size_t>(count), cudaMemcpyDeviceToHost, stream_.get()));
  stream_.synchronize();
  return logits_host_.data();
}

void GpuExecutor::sample(const StepPlan& plan, StepResult& result) {
  const auto* outcomes = outcomes_host_.as<cuda::SampleOutcome>();
  const auto vocab = static_cast<size_t>(config_.vocab_size);
  int total_rows = 0;
  for (const SequenceStep& s : plan.sequences) {
    total_rows += s.prompt_logprobs ? static_cast<int>(s.token_ids.size()) : (s.sample ? 1 : 0);
  }
  // Where more rows want logits than the head made, it makes them again in parts.
  const bool in_parts = total_rows > options_.max_batch_size;
  const auto row_logits = [&](int row) {
    if (in_parts) model_.head(row, 1, stream_.get());
    const float* values = fetch_logits(in_parts ? 0 : row, 1);
    return std::span<float>(const_cast<float*>(values), vocab);
  };
  int row = 0;
  for (size_t i = 0; i < plan.sequences.size(); ++i) {
    const SequenceStep& s = plan.sequences[i];
    SequenceResult& to = result.sequences[i];
    std::vector<PositionLogprobs> prompt_logprobs;
    if (s.prompt_logprobs) {
      for (size_t t = 0; t + 1 < s.token_ids.size(); ++t) {
        prompt_logprobs.push_back(
            sampler_.prompt_logprob(s.id, row_logits(row++), s.token_ids[t + 1]));
      }
      if (!s.sample) {
        GLMOE_CHECK(s.next_token_id >= 0);
        prompt_logprobs.push_back(
            sampler_.prompt_logprob(s.id, row_logits(row++), s.next_token_id));
      }
    }
    if (s.sample) {
      if (is_greedy_.at(s.id) && !in_parts) {
        const cuda::SampleOutcome& outcome = outcomes[row++];
        to.sampled = outcome.status == cuda::SampleStatus::kSampled;
        to.token_id = to.sampled ? outcome.token_id : 0;
        if (outcome.status == cuda::SampleStatus::kNanLogits) {
          to.error = fmt::format("NaN in logits, first at token {} of {}", outcome.first_nan,
                                 num_valid_tokens_);
        } else if (!to.sampled) {
          to.error = "no token can be sampled: all logits are -infinity";
        }
      } else {
        if (is_greedy_.at(s.id)) sampler_.start({.id = s.id, .sampling = {.temperature = 0.0f}});
        to = sampler_.sample(s.id, row_logits(row++));
      }
    }
    to.id = s.id;
    to.prompt_logprobs = std::move(prompt_logprobs);
  }
}

std::vector<float> GpuExecutor::logits(std::span<const int32_t> token_ids, int64_t chunk) {
  const auto num_tokens = static_cast<int64_t>(token_ids.size());
  const int64_t num_blocks = blocks_for(num_tokens, options_.tokens_per_block);
  GLMOE_CHECK_LE(num_blocks, options_.num_blocks, "text of {} tokens", num_tokens);
  const int64_t max_rows = std::max(options_.max_batch_size, kMinLogitRows);
  std::vector<float> all;
  for (int64_t begin = 0; begin < num_tokens; begin += chunk) {
    const int64_t count = std::min(chunk, num_tokens - begin);
    StepPlan plan;
    SequenceStep& step = plan.sequences.emplace_back();
    step.token_ids.assign(token_ids.begin() + begin, token_ids.begin() + begin + count);
    step.start_position = begin;
    step.block_table.resize(static_cast<size_t>(num_blocks));
    std::iota(step.block_table.begin(), step.block_table.end(), 0);
    step.prompt_logprobs = true;
    model_.forward(inputs_.upload(plan, stream_.get()), stream_.get());
    for (int64_t first = 0; first < count; first += max_rows) {
      const auto rows = static_cast<int>(std::min(max_rows, count - first));
      model_.head(static_cast<int>(first), rows, stream_.get());
      const float* values = fetch_logits(0, rows);
      all.insert(all.end(), values, values + rows * config_.vocab_size);
    }
  }
  return all;
}

std::string GpuExecutor::describe_moe() const {
  if (config_.num_moe_layers() == 0) return "none (the model has no MoE layers)";
  const GpuMoeBackend& backend = model_.moe_backend();
  return fmt::format("{} ({})", backend.name(), backend.implementation());
}

}  // namespace glmoe
