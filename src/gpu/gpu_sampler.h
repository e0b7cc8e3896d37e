// From logits on the GPU to a step's results: each sequence's sampling parameters and token counts,
// the rows of one step as the sampling kernels read them, and what the kernels say turned into
// results. The same tokens as sample/sampler.h gives for the same logits.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "gpu/cuda_objects.h"
#include "kernels/cuda/sample/sample.h"
#include "kernels/cuda/sample/token_counts.h"
#include "sample/logits_hook.h"
#include "step/step.h"

namespace glmoe {

struct GpuSamplerOptions {
  int64_t vocab_size = 0;        // V
  int64_t num_valid_tokens = 0;  // ids from here on are never sampled
  int64_t max_rows = 0;          // that want logits in one step
  int64_t max_sequences = 0;     // that run at the same time
};

// A step calls begin(), then process() and enqueue() for its rows in their order, then fetch(),
// then, once the stream has come past that, collect(). All memory is taken by the constructor, but
// for the rows that logits processors see.
class GpuSampler {
 public:
  explicit GpuSampler(const GpuSamplerOptions& options);
  static int64_t device_bytes(const GpuSamplerOptions& options);

  // Begins a sequence, or replaces its state (after a pre-emption `output_ids` is not empty).
  // Nothing but earlier calls of start() may be on the stream.
  void start(const SequenceStart& start, cudaStream_t stream);
  // An unknown id is no error.
  void release(SequenceId id);

  // Lists the plan's rows that want logits, in the order of GpuBatch::logit_rows.
  void begin(const StepPlan& plan);
  int num_rows() const { return static_cast<int>(rows_.size()); }
  // The first row whose token is sampled (the others score a prompt); -1 without one.
  int first_sampled_row() const;
  // Lets the callers' logits processors change `logits`, as enqueue() takes them. Where a row has
  // one it goes to the host and back, and this waits for it; else it does nothing.
  void process(float* logits, int64_t stride, int first, int count, cudaStream_t stream);
  // `logits` [count, stride]: of rows [first, first + count).
  void enqueue(const float* logits, int64_t stride, int first, int count, cudaStream_t stream);
  void fetch(cudaStream_t stream);
  void collect(const StepPlan& plan, StepResult& result);

 private:
  struct Sequence {
    ResolvedSampling sampling;  // stop_token_ids: each once
    int64_t num_generated = 0;
    int32_t count_slot = -1;  // of counts_; -1: no penalties
    LogitsHook hook;

    bool bans_stops() const;
    bool is_plainly_greedy() const;  // the highest logit, and nothing else is wanted
    size_t num_listed() const;       // entries of the lists that its row takes
  };
  struct Row {
    const Sequence* sequence;
    int32_t given_token;  // -1: sample
    bool is_plain() const;
  };

  int32_t take_slot(SequenceId id);
  void count_tokens(const std::vector<int32_t>& ids, int32_t slot, cuda::CountedAs counted_as,
                    cudaStream_t stream);
  cuda::SampleRow describe(const Row& row);
  void launch_rows(const float* logits, int64_t stride, int first, int count, cudaStream_t stream);
  SequenceResult sampled(Sequence& sequence, int row) const;
  PositionLogprobs logprobs_of(int row) const;

  GpuSamplerOptions options_;
  int64_t count_stride_;
  std::unordered_map<SequenceId, Sequence> sequences_;
  std::vector<int32_t> free_slots_;
  std::vector<Row> rows_;                   // of the step
  std::map<int, std::string> hook_errors_;  // by row
  bool wants_logprobs_ = false;
  int64_t lists_used_ = 0;  // entries of the lists, in this step
  int64_t ids_used_ = 0;    // of token_ids_host_, since the stream was last waited for

  DeviceBuffer rows_device_, list_ids_, list_values_, outcomes_, logprobs_, counts_, token_ids_;
  PinnedBuffer rows_host_, list_ids_host_, list_values_host_, outcomes_host_, logprobs_host_;
  PinnedBuffer token_ids_host_;
  std::optional<PinnedBuffer> hooked_rows_;  // as many as were wanted at once so far
};

}  // namespace glmoe
