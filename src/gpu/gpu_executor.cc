#include "gpu/gpu_executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace glmoe {
namespace {

constexpr int64_t kMinLogitRows = 16;

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

GpuSamplerOptions sampler_options(const Glm4MoeConfig& config, const GpuExecutorOptions& options) {
  const int64_t vocab_size = config.vocab_size;
  const int64_t valid = options.num_valid_tokens;
  return {.vocab_size = vocab_size,
          .num_valid_tokens = valid > 0 ? std::min(valid, vocab_size) : vocab_size,
          .max_rows = options.max_num_tokens,
          .max_sequences = options.max_batch_size};
}

}  // namespace

GpuExecutor::GpuExecutor(const Glm4MoeConfig& config, std::shared_ptr<const GpuWeights> weights,
                         const GpuExecutorOptions& options, int num_sms, ThreadTeam& team)
    : config_(config),
      weights_(std::move(weights)),
      options_(options),
      model_(config_, *weights_, model_options(options, num_sms), team),
      inputs_({.max_rows = options.max_num_tokens,
               .max_sequences = options.max_batch_size,
               .max_blocks = blocks_for(options.max_seq_len, options.tokens_per_block),
               .tokens_per_block = options.tokens_per_block}),
      sampler_(sampler_options(config, options)) {
  if (options_.cuda_graphs) capture_graphs();
}

int64_t GpuExecutor::workspace_bytes(const Glm4MoeConfig& config, const GpuExecutorOptions& options,
                                     int num_sms) {
  return GpuModel::workspace_bytes(config, model_options(options, num_sms)) +
         GpuSampler::device_bytes(sampler_options(config, options));
}

int64_t GpuExecutor::max_logit_rows() const {
  return std::max(options_.max_batch_size, kMinLogitRows);
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

// From the largest on: what the library sets up at its first use is then there for all.
void GpuExecutor::capture_graphs() {
  for (int n = static_cast<int>(options_.max_batch_size); n >= 1;) {
    const int bucket = bucket_of(static_cast<size_t>(n));
    if (graphs_.count(bucket) == 0) {
      const GpuBatch batch = inputs_.decode_batch(bucket);
      graphs_.emplace(bucket, CudaGraph(stream_.get(), [&] {
                        model_.forward(batch, stream_.get());
                        model_.head(0, bucket, stream_.get());
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
  for (const SequenceId id : plan.released) sampler_.release(id);
  if (!failure_.empty()) fail(ErrorCode::kUnavailable, "{}", failure_);
  StepResult result;
  result.step_id = plan.step_id;
  try {
    for (const SequenceStart& start : plan.started) sampler_.start(start, stream_.get());
    if (plan.empty()) return result;
    maybe_fail_step(options_.fault, plan.step_id);
    for (const BlockCopy& copy : plan.copies) model_.copy_block(copy.from, copy.to, stream_.get());
    run_step(plan);
    stream_.synchronize();
  } catch (const std::exception& error) {
    settle(plan, error.what());
    throw;
  }
  sampler_.collect(plan, result);
  return result;
}

// After a failed step: what is still on the stream reads memory that the next step writes, and a
// GPU that cannot even finish that is lost.
void GpuExecutor::settle(const StepPlan& plan, const std::string& error) {
  const cudaError_t status = cudaStreamSynchronize(stream_.get());
  if (status == cudaSuccess) return;
  failure_ = fmt::format(
      "the GPU was lost in step {} ({}; then {}): nothing more can run, start the program again",
      plan.step_id, error, cudaGetErrorName(status));
  fail(ErrorCode::kUnavailable, "{}", failure_);
}

void GpuExecutor::run_step(const StepPlan& plan) {
  sampler_.begin(plan);
  const int rows = sampler_.num_rows();
  if (runs_as_graph(plan)) {
    const int bucket = bucket_of(plan.sequences.size());
    inputs_.upload_decode(plan, bucket, stream_.get());
    graphs_.at(bucket).launch(stream_.get());
    sample_rows(plan, 0, rows);
  } else {
    model_.forward(inputs_.upload(plan, stream_.get()), stream_.get());
    // A long chunk with log-probabilities has more rows than there is memory for logits.
    const auto most = static_cast<int>(max_logit_rows());
    for (int first = 0; first < rows; first += most) {
      const int count = std::min(most, rows - first);
      model_.head(first, count, stream_.get());
      sample_rows(plan, first, count);
    }
  }
  sampler_.fetch(stream_.get());
}

// Of the model's logits, which are those of rows [first, first + count).
void GpuExecutor::sample_rows(const StepPlan& plan, int first, int count) {
  const int64_t stride = model_.logits_stride();
  const int sampled = sampler_.first_sampled_row();
  if (options_.fault.strikes(FaultKind::kNanLogits, plan.step_id) && sampled >= first &&
      sampled < first + count) {
    constexpr int kBytesOfNan = 0xff;
    GLMOE_CUDA(cudaMemsetAsync(model_.logits() + (sampled - first) * stride, kBytesOfNan,
                               sizeof(float), stream_.get()));
  }
  sampler_.process(model_.logits(), stride, first, count, stream_.get());
  const float* logits = model_.logits();
  if (options_.fault.strikes(FaultKind::kGpuLost, plan.step_id)) {
    logits = reinterpret_cast<const float*>(uintptr_t{64});  // no memory is there
  }
  sampler_.enqueue(logits, stride, first, count, stream_.get());
}

void GpuExecutor::fetch_logits(int64_t count, std::vector<float>& to) {
  const auto width = static_cast<size_t>(config_.vocab_size) * sizeof(float);
  const size_t begin = to.size();
  to.resize(begin + static_cast<size_t>(count * config_.vocab_size));
  GLMOE_CUDA(cudaMemcpy2DAsync(to.data() + begin, width, model_.logits(),
                               static_cast<size_t>(model_.logits_stride()) * sizeof(float), width,
                               static_cast<size_t>(count), cudaMemcpyDeviceToHost, stream_.get()));
  stream_.synchronize();
}

void GpuExecutor::prefill(std::span<const int32_t> token_ids, int64_t chunk,
                          const std::function<void(int64_t)>& take) {
  const auto num_tokens = static_cast<int64_t>(token_ids.size());
  const int64_t num_blocks = blocks_for(num_tokens, options_.tokens_per_block);
  GLMOE_CHECK_LE(num_blocks, options_.num_blocks, "text of {} tokens", num_tokens);
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
    take(count);
    stream_.synchronize();  // the next piece's arrays take the place of these
  }
}

std::vector<float> GpuExecutor::logits(std::span<const int32_t> token_ids, int64_t chunk) {
  std::vector<float> all;
  prefill(token_ids, chunk, [&](int64_t count) {
    for (int64_t first = 0; first < count; first += max_logit_rows()) {
      const auto rows = static_cast<int>(std::min(max_logit_rows(), count - first));
      model_.head(static_cast<int>(first), rows, stream_.get());
      fetch_logits(rows, all);
    }
  });
  return all;
}

Tensor GpuExecutor::prompt_rows(PromptRows what, std::span<const int32_t> token_ids,
                                int64_t chunk) {
  const bool hidden = what == PromptRows::kHiddenStates;
  const bool bf16 = weights_->type() == cuda::ElementType::kBf16;
  const auto num_tokens = static_cast<int64_t>(token_ids.size());
  const int64_t width = hidden ? config_.hidden_size : config_.vocab_size;
  const size_t row_bytes = static_cast<size_t>(width) * (hidden ? 2 : sizeof(float));
  const auto memory = std::make_shared<DeviceBuffer>(static_cast<size_t>(num_tokens) * row_bytes,
                                                     hidden ? "the hidden states" : "the logits");
  std::byte* next = memory->data();
  const auto copy_rows = [&](const void* from, size_t from_row_bytes, int64_t count) {
    GLMOE_CUDA(cudaMemcpy2DAsync(next, row_bytes, from, from_row_bytes, row_bytes,
                                 static_cast<size_t>(count), cudaMemcpyDeviceToDevice,
                                 stream_.get()));
    next += static_cast<size_t>(count) * row_bytes;
  };
  prefill(token_ids, chunk, [&](int64_t count) {
    if (hidden) return copy_rows(model_.normed(), row_bytes, count);
    for (int64_t first = 0; first < count; first += max_logit_rows()) {
      const int64_t rows = std::min(max_logit_rows(), count - first);
      model_.head(static_cast<int>(first), static_cast<int>(rows), stream_.get());
      copy_rows(model_.logits(), static_cast<size_t>(model_.logits_stride()) * sizeof(float), rows);
    }
  });
  const ElementKind narrow = bf16 ? ElementKind::kBfloat16 : ElementKind::kFloat16;
  int device = 0;
  GLMOE_CUDA(cudaGetDevice(&device));
  return {.data = memory->data(),
          .kind = hidden ? narrow : ElementKind::kFloat32,
          .shape = {num_tokens, width},
          .device = device,
          .owner = memory};
}

std::vector<std::vector<uint64_t>> GpuExecutor::expert_counts() const {
  const auto num_layers = static_cast<size_t>(config_.num_hidden_layers);
  const auto num_experts = static_cast<size_t>(config_.moe.num_experts);
  std::vector<uint64_t> flat(num_layers * num_experts);
  GLMOE_CUDA(cudaMemcpyAsync(flat.data(), model_.expert_counts(), flat.size() * 8,
                             cudaMemcpyDeviceToHost, stream_.get()));
  stream_.synchronize();
  std::vector<std::vector<uint64_t>> counts(num_layers);
  for (size_t l = 0; l < num_layers; ++l) {
    if (!config_.is_moe_layer(static_cast<int64_t>(l))) continue;
    counts[l].assign(flat.data() + l * num_experts, flat.data() + (l + 1) * num_experts);
  }
  return counts;
}

std::string GpuExecutor::describe_moe() const {
  if (config_.num_moe_layers() == 0) return "none (the model has no MoE layers)";
  const GpuMoeBackend& backend = model_.moe_backend();
  return fmt::format("{} ({})", backend.name(), backend.implementation());
}

}  // namespace glmoe
