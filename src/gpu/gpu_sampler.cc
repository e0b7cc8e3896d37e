#include "gpu/gpu_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "kernels/cuda/sample/argmax.h"

namespace glmoe {
namespace {

constexpr float kGreedyBelow = 1e-5f;  // as the kernels and the host's sampler have it
constexpr int64_t kLogprobEntries = cuda::kMaxLogprobs + 1;
// Token ids that one copy to the GPU carries when a sequence with penalties starts.
constexpr int64_t kCountedAtOnce = 8192;

int64_t count_stride(const GpuSamplerOptions& options) {
  return (options.num_valid_tokens + 3) / 4 * 4;
}

// Biases and stop ids of one row at most, since each holds a token once; and room for the short
// lists of a whole step.
int64_t list_capacity(const GpuSamplerOptions& options) {
  constexpr int64_t kUsualEntries = 64;
  return 2 * options.vocab_size + kUsualEntries * options.max_sequences;
}

size_t bytes_of(int64_t count, size_t size) { return static_cast<size_t>(count) * size; }

int32_t clamped(int64_t value) {
  return static_cast<int32_t>(std::min<int64_t>(value, std::numeric_limits<int32_t>::max()));
}

void copy_up(const DeviceBuffer& to, const PinnedBuffer& from, int64_t first, int64_t count,
             size_t size, cudaStream_t stream) {
  if (count == 0) return;
  const size_t offset = bytes_of(first, size);
  GLMOE_CUDA(cudaMemcpyAsync(to.data() + offset, from.data() + offset, bytes_of(count, size),
                             cudaMemcpyHostToDevice, stream));
}

template <class T>
T* as(const DeviceBuffer& buffer) {
  return reinterpret_cast<T*>(buffer.data());
}

}  // namespace

bool GpuSampler::Sequence::bans_stops() const {
  return num_generated < sampling.min_tokens && !sampling.stop_token_ids.empty();
}

bool GpuSampler::Sequence::is_plainly_greedy() const {
  return sampling.temperature < kGreedyBelow && count_slot < 0 && sampling.logit_bias.empty() &&
         !bans_stops() && sampling.num_logprobs < 0;
}

size_t GpuSampler::Sequence::num_listed() const {
  return sampling.logit_bias.size() + (bans_stops() ? sampling.stop_token_ids.size() : 0);
}

bool GpuSampler::Row::is_plain() const { return given_token < 0 && sequence->is_plainly_greedy(); }

int64_t GpuSampler::device_bytes(const GpuSamplerOptions& options) {
  return options.max_sequences * count_stride(options) * 4 + list_capacity(options) * 8 +
         options.max_rows *
             static_cast<int64_t>(sizeof(cuda::SampleRow) + sizeof(cuda::SampleOutcome) +
                                  kLogprobEntries * sizeof(cuda::SampleLogprob)) +
         kCountedAtOnce * 4;
}

GpuSampler::GpuSampler(const GpuSamplerOptions& options)
    : options_(options),
      count_stride_(count_stride(options)),
      free_slots_(static_cast<size_t>(options.max_sequences)),
      rows_device_(bytes_of(options.max_rows, sizeof(cuda::SampleRow)), "sampling parameters"),
      list_ids_(bytes_of(list_capacity(options), 4), "lists of biased tokens"),
      list_values_(list_ids_.size(), "lists of biases"),
      outcomes_(bytes_of(options.max_rows, sizeof(cuda::SampleOutcome)), "the sampled tokens"),
      logprobs_(bytes_of(options.max_rows * kLogprobEntries, sizeof(cuda::SampleLogprob)),
                "log-probabilities"),
      counts_(bytes_of(options.max_sequences * count_stride_, 4), "the tokens' counts"),
      token_ids_(bytes_of(kCountedAtOnce, 4), "tokens to count"),
      rows_host_(rows_device_.size()),
      list_ids_host_(list_ids_.size()),
      list_values_host_(list_values_.size()),
      outcomes_host_(outcomes_.size()),
      logprobs_host_(logprobs_.size()),
      token_ids_host_(token_ids_.size()) {
  std::iota(free_slots_.rbegin(), free_slots_.rend(), 0);
}

int32_t GpuSampler::take_slot(SequenceId id) {
  GLMOE_CHECK(!free_slots_.empty(), "sequence {} is one more than {} at the same time", id,
              options_.max_sequences);
  const int32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void GpuSampler::count_tokens(const std::vector<int32_t>& ids, int32_t slot,
                              cuda::CountedAs counted_as, cudaStream_t stream) {
  for (size_t at = 0; at < ids.size();) {
    if (ids_used_ == kCountedAtOnce) {
      GLMOE_CUDA(cudaStreamSynchronize(stream));
      ids_used_ = 0;
    }
    const auto left = static_cast<int64_t>(ids.size() - at);
    const int64_t count = std::min(left, kCountedAtOnce - ids_used_);
    std::copy_n(ids.begin() + static_cast<int64_t>(at), count,
                token_ids_host_.as<int32_t>() + ids_used_);
    copy_up(token_ids_, token_ids_host_, ids_used_, count, 4, stream);
    cuda::TokenCountsParams p;
    p.counts = as<uint32_t>(counts_);
    p.stride = count_stride_;
    p.num_token_ids = static_cast<int>(options_.num_valid_tokens);
    p.token_ids = as<int32_t>(token_ids_) + ids_used_;
    p.num_tokens = count;
    p.slot = slot;
    p.counted_as = counted_as;
    cuda::launch_token_counts(p, stream);
    ids_used_ += count;
    at += static_cast<size_t>(count);
  }
}

void GpuSampler::start(const SequenceStart& start, cudaStream_t stream) {
  release(start.id);
  Sequence& sequence = sequences_[start.id];
  sequence.sampling = start.sampling;
  sequence.num_generated = static_cast<int64_t>(start.output_ids.size());
  sequence.hook = LogitsHook(start.sampling.logits_processor, start.prompt_ids);
  for (const int32_t token : start.output_ids) sequence.hook.record(token);
  std::vector<int32_t>& stops = sequence.sampling.stop_token_ids;
  std::ranges::sort(stops);
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());

  const ResolvedSampling& s = sequence.sampling;
  const bool penalises_seen = s.repetition_penalty != 1.0f;
  if (!penalises_seen && s.presence_penalty == 0.0f && s.frequency_penalty == 0.0f) return;
  sequence.count_slot = take_slot(start.id);
  cuda::clear_token_counts(as<uint32_t>(counts_), count_stride_, sequence.count_slot, stream);
  if (penalises_seen) {
    count_tokens(start.prompt_ids, sequence.count_slot, cuda::CountedAs::kPrompt, stream);
  }
  count_tokens(start.output_ids, sequence.count_slot, cuda::CountedAs::kOutput, stream);
}

void GpuSampler::release(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  if (found->second.count_slot >= 0) free_slots_.push_back(found->second.count_slot);
  sequences_.erase(found);
}

void GpuSampler::begin(const StepPlan& plan) {
  rows_.clear();
  hook_errors_.clear();
  wants_logprobs_ = false;
  lists_used_ = 0;
  ids_used_ = 0;
  for (const SequenceStep& s : plan.sequences) {
    const auto found = sequences_.find(s.id);
    GLMOE_CHECK(found != sequences_.end(), "sequence {} was not started", s.id);
    const Sequence* sequence = &found->second;
    if (s.prompt_logprobs) {
      // Row i predicts token i + 1 of the chunk; the last row predicts the token to come.
      for (size_t i = 1; i < s.token_ids.size(); ++i) rows_.push_back({sequence, s.token_ids[i]});
      if (!s.sample) {
        GLMOE_CHECK(s.next_token_id >= 0);
        rows_.push_back({sequence, s.next_token_id});
      }
      wants_logprobs_ = true;
    }
    if (s.sample) rows_.push_back({sequence, -1});
    wants_logprobs_ |= s.sample && sequence->sampling.num_logprobs >= 0;
  }
  GLMOE_CHECK_LE(static_cast<int64_t>(rows_.size()), options_.max_rows, "rows with logits");
}

int GpuSampler::first_sampled_row() const {
  const auto found = std::ranges::find(rows_, -1, &Row::given_token);
  return found == rows_.end() ? -1 : static_cast<int>(found - rows_.begin());
}

// The row's parameters; its lists go behind those of the rows before.
cuda::SampleRow GpuSampler::describe(const Row& row) {
  const Sequence& sequence = *row.sequence;
  const ResolvedSampling& s = sequence.sampling;
  cuda::SampleRow to;
  if (row.given_token >= 0) {
    to.given_token = row.given_token;
    to.num_logprobs = static_cast<int32_t>(std::max<int64_t>(s.num_prompt_logprobs, 0));
    return to;
  }
  to.temperature = s.temperature;
  to.top_p = s.top_p;
  if (s.min_p > 0.0f) to.log_min_p = std::log(s.min_p);
  to.repetition_penalty = s.repetition_penalty;
  to.presence_penalty = s.presence_penalty;
  to.frequency_penalty = s.frequency_penalty;
  to.top_k = clamped(s.top_k);
  to.position = clamped(sequence.num_generated);
  to.min_tokens = clamped(s.min_tokens);
  to.seed = s.seed;
  to.stream = s.stream;
  to.count_slot = sequence.count_slot;
  to.num_logprobs = static_cast<int32_t>(s.num_logprobs);
  to.first_bias = static_cast<int32_t>(lists_used_);
  to.num_biases = static_cast<int32_t>(s.logit_bias.size());
  for (const auto& [id, bias] : s.logit_bias) {
    list_ids_host_.as<int32_t>()[lists_used_] = id;
    list_values_host_.as<float>()[lists_used_++] = bias;
  }
  if (sequence.bans_stops()) {
    to.first_stop = static_cast<int32_t>(lists_used_);
    to.num_stops = static_cast<int32_t>(s.stop_token_ids.size());
    std::ranges::copy(s.stop_token_ids, list_ids_host_.as<int32_t>() + lists_used_);
    lists_used_ += to.num_stops;
  }
  return to;
}

void GpuSampler::launch_rows(const float* logits, int64_t stride, int first, int count,
                             cudaStream_t stream) {
  const int64_t first_listed = lists_used_;
  for (int r = first; r < first + count; ++r) {
    rows_host_.as<cuda::SampleRow>()[r] = describe(rows_[static_cast<size_t>(r)]);
  }
  copy_up(rows_device_, rows_host_, first, count, sizeof(cuda::SampleRow), stream);
  copy_up(list_ids_, list_ids_host_, first_listed, lists_used_ - first_listed, 4, stream);
  copy_up(list_values_, list_values_host_, first_listed, lists_used_ - first_listed, 4, stream);
  cuda::SampleParams p;
  p.logits = logits;
  p.row_stride = stride;
  p.num_rows = count;
  p.vocab_size = static_cast<int>(options_.vocab_size);
  p.num_tokens = static_cast<int>(options_.num_valid_tokens);
  p.rows = as<cuda::SampleRow>(rows_device_) + first;
  p.bias_ids = as<int32_t>(list_ids_);
  p.bias_values = as<float>(list_values_);
  p.stop_ids = as<int32_t>(list_ids_);
  p.counts = as<uint32_t>(counts_);
  p.count_stride = count_stride_;
  p.outcomes = as<cuda::SampleOutcome>(outcomes_) + first;
  p.logprobs = as<cuda::SampleLogprob>(logprobs_) + first * kLogprobEntries;
  cuda::launch_sample(p, stream);
}

void GpuSampler::process(float* logits, int64_t stride, int first, int count, cudaStream_t stream) {
  std::vector<int> hooked;
  for (int r = first; r < first + count; ++r) {
    const Row& row = rows_[static_cast<size_t>(r)];
    if (row.given_token < 0 && !row.sequence->hook.empty()) hooked.push_back(r);
  }
  if (hooked.empty()) return;
  const size_t width = bytes_of(options_.vocab_size, sizeof(float));
  if (!hooked_rows_ || hooked_rows_->size() < hooked.size() * width) {
    GLMOE_CUDA(cudaStreamSynchronize(stream));  // the last rows may still be on their way up
    hooked_rows_.emplace(hooked.size() * width);
  }
  const auto on_device = [&](int r) { return logits + (r - first) * stride; };
  const auto on_host = [&](size_t i) { return hooked_rows_->data() + i * width; };
  for (size_t i = 0; i < hooked.size(); ++i) {
    GLMOE_CUDA(
        cudaMemcpyAsync(on_host(i), on_device(hooked[i]), width, cudaMemcpyDeviceToHost, stream));
  }
  GLMOE_CUDA(cudaStreamSynchronize(stream));
  for (size_t i = 0; i < hooked.size(); ++i) {
    const LogitsHook& hook = rows_[static_cast<size_t>(hooked[i])].sequence->hook;
    std::string error = hook.apply({reinterpret_cast<float*>(on_host(i)), width / sizeof(float)});
    if (!error.empty()) hook_errors_[hooked[i]] = std::move(error);
    GLMOE_CUDA(
        cudaMemcpyAsync(on_device(hooked[i]), on_host(i), width, cudaMemcpyHostToDevice, stream));
  }
}

void GpuSampler::enqueue(const float* logits, int64_t stride, int first, int count,
                         cudaStream_t stream) {
  const auto begin = rows_.begin() + first;
  if (std::all_of(begin, begin + count, [](const Row& row) { return row.is_plain(); })) {
    cuda::ArgmaxParams p;
    p.logits = logits;
    p.row_stride = stride;
    p.num_rows = count;
    p.num_tokens = static_cast<int>(options_.num_valid_tokens);
    p.outcomes = as<cuda::SampleOutcome>(outcomes_) + first;
    cuda::launch_argmax(p, stream);
    return;
  }
  // One launch, unless the lists of so many rows do not fit beside each other.
  const auto listed = [&](int r) {
    const Row& row = rows_[static_cast<size_t>(r)];
    return row.given_token >= 0 ? 0 : static_cast<int64_t>(row.sequence->num_listed());
  };
  for (int done = 0; done < count;) {
    int64_t wanted = lists_used_ + listed(first + done);
    if (wanted > list_capacity(options_)) {
      GLMOE_CUDA(cudaStreamSynchronize(stream));  // then the lists can be written anew
      lists_used_ = 0;
      wanted = listed(first + done);
    }
    int part = 1;
    while (done + part < count && wanted + listed(first + done + part) <= list_capacity(options_)) {
      wanted += listed(first + done + part++);
    }
    launch_rows(logits + done * stride, stride, first + done, part, stream);
    done += part;
  }
}

void GpuSampler::fetch(cudaStream_t stream) {
  const auto count = static_cast<int64_t>(rows_.size());
  if (count == 0) return;
  GLMOE_CUDA(cudaMemcpyAsync(outcomes_host_.data(), outcomes_.data(),
                             bytes_of(count, sizeof(cuda::SampleOutcome)), cudaMemcpyDeviceToHost,
                             stream));
  if (!wants_logprobs_) return;
  GLMOE_CUDA(cudaMemcpyAsync(logprobs_host_.data(), logprobs_.data(),
                             bytes_of(count * kLogprobEntries, sizeof(cuda::SampleLogprob)),
                             cudaMemcpyDeviceToHost, stream));
}

PositionLogprobs GpuSampler::logprobs_of(int row) const {
  const auto* entries = logprobs_host_.as<cuda::SampleLogprob>() + row * kLogprobEntries;
  const cuda::SampleOutcome& outcome = outcomes_host_.as<cuda::SampleOutcome>()[row];
  PositionLogprobs position;
  if (outcome.status != cuda::SampleStatus::kSampled) return position;
  for (int i = 0; i < outcome.num_logprobs; ++i) {
    position.push_back({entries[i].token_id, entries[i].logprob, entries[i].rank});
  }
  return position;
}

SequenceResult GpuSampler::sampled(Sequence& sequence, int row) const {
  const cuda::SampleOutcome& outcome = outcomes_host_.as<cuda::SampleOutcome>()[row];
  SequenceResult result;
  if (const auto failed = hook_errors_.find(row); failed != hook_errors_.end()) {
    result.error = failed->second;
    return result;
  }
  if (outcome.status == cuda::SampleStatus::kNanLogits) {
    result.error = fmt::format("NaN in logits, first at token {} of {}", outcome.first_nan,
                               options_.num_valid_tokens);
    return result;
  }
  if (outcome.status != cuda::SampleStatus::kSampled) {
    result.error = "no token can be sampled: all logits are -infinity";
    return result;
  }
  result.sampled = true;
  result.token_id = outcome.token_id;
  if (sequence.sampling.num_logprobs >= 0) result.logprobs = logprobs_of(row);
  ++sequence.num_generated;
  sequence.hook.record(result.token_id);
  return result;
}

void GpuSampler::collect(const StepPlan& plan, StepResult& result) {
  result.sequences.clear();
  int row = 0;
  for (const SequenceStep& s : plan.sequences) {
    std::vector<PositionLogprobs> prompt_logprobs;
    if (s.prompt_logprobs) {
      const auto scored = static_cast<int>(s.token_ids.size()) - (s.sample ? 1 : 0);
      for (int i = 0; i < scored; ++i) prompt_logprobs.push_back(logprobs_of(row++));
    }
    SequenceResult to;
    if (s.sample) to = sampled(sequences_.at(s.id), row++);
    to.id = s.id;
    to.prompt_logprobs = std::move(prompt_logprobs);
    result.sequences.push_back(std::move(to));
  }
}

}  // namespace glmoe
