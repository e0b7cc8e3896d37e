// A batch of rows for the sampling kernel, what it made of them, and what it should have.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/sample/sample.h"
#include "kernels/cuda/sample/token_counts.h"
#include "sample/host_sampler.h"

namespace glmoe::cuda_test {

using cuda::DeviceArray;
using cuda::SampleLogprob;
using cuda::SampleOutcome;
using cuda::SampleParams;
using cuda::SampleRow;
using cuda::SampleStatus;
using testing::HostOutcome;
using testing::HostSampler;
using testing::HostSampling;
using testing::HostStatus;

struct TestRow {
  std::vector<float> logits;  // [V]
  HostSampling sampling;
  int32_t given_token = -1;
};

inline constexpr size_t kEntries = cuda::kMaxLogprobs + 1;

class SampleBatch {
 public:
  // num_tokens of the V logits may be sampled.
  SampleBatch(std::vector<TestRow> rows, int num_tokens)
      : rows_(std::move(rows)),
        vocab_size_(static_cast<int>(rows_.at(0).logits.size())),
        num_tokens_(num_tokens),
        stride_(static_cast<size_t>(vocab_size_ + 3) / 4 * 4 + 8) {
    fill();
    clear();
  }

  SampleParams params() const {
    SampleParams p;
    p.logits = logits_dev_.data();
    p.row_stride = static_cast<int64_t>(stride_);
    p.num_rows = static_cast<int>(rows_.size());
    p.vocab_size = vocab_size_;
    p.num_tokens = num_tokens_;
    p.rows = rows_dev_.data();
    p.bias_ids = bias_ids_dev_.data();
    p.bias_values = bias_values_dev_.data();
    p.stop_ids = stop_ids_dev_.data();
    p.counts = counts_dev_.data();
    p.count_stride = static_cast<int64_t>(stride_);
    p.outcomes = outcomes_dev_.data();
    p.logprobs = logprobs_dev_.data();
    p.next_row = next_row_dev_.data();
    p.next_token_ids = next_ids_dev_.data();
    return p;
  }

  // Outputs that nobody wrote show; counts are those of prompt and output.
  void clear() {
    GLMOE_CUDA(cudaMemset(outcomes_dev_.data(), 0x99, outcomes_dev_.num_bytes()));
    GLMOE_CUDA(cudaMemset(logprobs_dev_.data(), 0x99, logprobs_dev_.num_bytes()));
    GLMOE_CUDA(cudaMemset(next_ids_dev_.data(), 0x99, next_ids_dev_.num_bytes()));
    for (size_t r = 0; r < rows_.size(); ++r) {
      const auto slot = static_cast<int32_t>(r);
      cuda::clear_token_counts(counts_dev_.data(), static_cast<int64_t>(stride_), slot, nullptr);
      count(slot, rows_[r].sampling.prompt, cuda::CountedAs::kPrompt);
      count(slot, rows_[r].sampling.output, cuda::CountedAs::kOutput);
    }
  }

  // Launches and compares all rows with the host's.
  void check(const std::string& name) {
    cuda::launch_sample(params(), nullptr);
    check_results(name);
  }
  void check_results(const std::string& name) {
    const std::vector<SampleOutcome> outcomes = outcomes_dev_.download();
    const std::vector<SampleLogprob> logprobs = logprobs_dev_.download();
    const std::vector<int32_t> next = next_ids_dev_.download();
    for (size_t r = 0; r < rows_.size(); ++r) {
      const std::string row = name + ", row " + std::to_string(r) + ", " + describe(rows_[r]);
      const HostOutcome wanted = host_outcome(rows_[r]);
      check_outcome(row, outcomes[r], wanted);
      check_logprobs(row, &logprobs[r * kEntries], outcomes[r].num_logprobs, wanted);
      check_next(row, r, outcomes[r].token_id, next);
    }
    check_counts(name, outcomes);
  }

  std::vector<SampleOutcome> outcomes() const { return outcomes_dev_.download(); }
  std::vector<SampleLogprob> logprobs() const { return logprobs_dev_.download(); }
  const std::vector<TestRow>& rows() const { return rows_; }
  std::vector<SampleRow>& device_rows() { return device_rows_; }
  void upload_rows() { rows_dev_.upload(device_rows_); }

  static std::string describe(const TestRow& row) {
    const HostSampling& s = row.sampling;
    return "T " + std::to_string(s.temperature) + " k " + std::to_string(s.top_k) + " p " +
           std::to_string(s.top_p) + " min_p " + std::to_string(s.min_p) + " bias " +
           std::to_string(s.bias.size()) + " prompt " + std::to_string(s.prompt.size()) +
           " position " + std::to_string(s.output.size()) + " logprobs " +
           std::to_string(s.num_logprobs) + " given " + std::to_string(row.given_token);
  }

 private:
  static bool has_penalties(const HostSampling& s) {
    return s.repetition_penalty != 1.0f || s.presence_penalty != 0.0f ||
           s.frequency_penalty != 0.0f;
  }

  HostOutcome host_outcome(const TestRow& row) const {
    if (row.given_token >= 0) return HostSampler(row.logits, row.sampling).score(row.given_token);
    return HostSampler({row.logits.begin(), row.logits.begin() + num_tokens_}, row.sampling)
        .sample();
  }

  void fill() {
    std::vector<float> logits(rows_.size() * stride_, NAN);  // behind V nothing may be looked at
    std::vector<int32_t> bias_ids(1, 0), stop_ids(1, 0), next_row;
    std::vector<float> bias_values(1, 0.0f);
    for (size_t r = 0; r < rows_.size(); ++r) {
      const HostSampling& s = rows_[r].sampling;
      std::copy(rows_[r].logits.begin(), rows_[r].logits.end(),
                logits.begin() + static_cast<std::ptrdiff_t>(r * stride_));
      SampleRow row;
      row.temperature = s.temperature;
      row.top_p = s.top_p;
      row.log_min_p = s.min_p > 0.0f ? std::log(s.min_p) : -INFINITY;
      row.repetition_penalty = s.repetition_penalty;
      row.presence_penalty = s.presence_penalty;
      row.frequency_penalty = s.frequency_penalty;
      row.top_k = static_cast<int32_t>(std::min<int64_t>(s.top_k, INT32_MAX));
      row.position = static_cast<int32_t>(s.output.size());
      row.min_tokens = static_cast<int32_t>(s.min_tokens);
      row.seed = s.seed;
      row.stream = s.stream;
      row.first_bias = static_cast<int32_t>(bias_ids.size());
      row.num_biases = static_cast<int32_t>(s.bias.size());
      row.first_stop = static_cast<int32_t>(stop_ids.size());
      row.num_stops = static_cast<int32_t>(s.stop_ids.size());
      row.count_slot = has_penalties(s) ? static_cast<int32_t>(r) : -1;
      row.num_logprobs = static_cast<int32_t>(s.num_logprobs);
      row.given_token = rows_[r].given_token;
      for (const auto& [id, bias] : s.bias) bias_ids.push_back(id), bias_values.push_back(bias);
      stop_ids.insert(stop_ids.end(), s.stop_ids.begin(), s.stop_ids.end());
      next_row.push_back(r % 3 == 2 ? -1 : static_cast<int32_t>(rows_.size() - 1 - r));
      device_rows_.push_back(row);
    }
    logits_dev_.upload(logits);
    upload_rows();
    next_row_ = next_row;
    next_row_dev_.upload(next_row);
    bias_ids_dev_.assign(bias_ids);
    bias_values_dev_.assign(bias_values);
    stop_ids_dev_.assign(stop_ids);
  }

  void count(int32_t slot, const std::vector<int32_t>& ids, cuda::CountedAs as) {
    if (ids.empty()) return;
    const DeviceArray<int32_t> ids_dev(ids);
    cuda::launch_token_counts({.counts = counts_dev_.data(),
                               .stride = static_cast<int64_t>(stride_),
                               .num_token_ids = num_tokens_,
                               .token_ids = ids_dev.data(),
                               .num_tokens = static_cast<int64_t>(ids.size()),
                               .slot = slot,
                               .counted_as = as},
                              nullptr);
    GLMOE_CUDA(cudaDeviceSynchronize());
  }

  static void check_outcome(const std::string& row, const SampleOutcome& found,
                            const HostOutcome& wanted) {
    const auto status = static_cast<SampleStatus>(wanted.status);
    expect(found.status == status, row + ": status " +
                                       std::to_string(static_cast<int>(found.status)) +
                                       ", wanted " + std::to_string(static_cast<int>(status)));
    expect(found.token_id == wanted.token_id, row + ": token " + std::to_string(found.token_id) +
                                                  ", wanted " + std::to_string(wanted.token_id));
    expect(found.first_nan == wanted.first_nan, row + ": first NaN " +
                                                    std::to_string(found.first_nan) + ", wanted " +
                                                    std::to_string(wanted.first_nan));
  }

  // Ids and ranks are the host's; the logarithm is another library's, so the value may be the
  // neighbouring float.
  static void check_logprobs(const std::string& row, const SampleLogprob* found, int32_t num_found,
                             const HostOutcome& wanted) {
    const auto num_wanted = static_cast<int32_t>(wanted.logprobs.size());
    expect(num_found == num_wanted, row + ": " + std::to_string(num_found) +
                                        " log-probabilities, wanted " + std::to_string(num_wanted));
    for (int32_t i = 0; i < std::min(num_found, num_wanted); ++i) {
      const testing::HostLogprob& want = wanted.logprobs[static_cast<size_t>(i)];
      const bool near = found[i].logprob == want.logprob ||
                        found[i].logprob == std::nextafter(want.logprob, INFINITY) ||
                        found[i].logprob == std::nextafter(want.logprob, -INFINITY);
      expect(near && found[i].token_id == want.token_id && found[i].rank == want.rank,
             row + ": log-probability " + std::to_string(i) + " is token " +
                 std::to_string(found[i].token_id) + " " + std::to_string(found[i].logprob) +
                 " rank " + std::to_string(found[i].rank) + ", wanted token " +
                 std::to_string(want.token_id) + " " + std::to_string(want.logprob) + " rank " +
                 std::to_string(want.rank));
    }
  }

  void check_next(const std::string& row, size_t r, int32_t token_id,
                  const std::vector<int32_t>& next) const {
    constexpr auto kPoison = static_cast<int32_t>(0x99999999u);
    if (next_row_[r] < 0) return;
    const int32_t found = next[static_cast<size_t>(next_row_[r])];
    const int32_t wanted = rows_[r].given_token >= 0 ? kPoison : token_id;
    expect(found == wanted, row + ": the next step's token is " + std::to_string(found) +
                                ", wanted " + std::to_string(wanted));
  }

  void check_counts(const std::string& name, const std::vector<SampleOutcome>& outcomes) const {
    const std::vector<uint32_t> found = counts_dev_.download();
    for (size_t r = 0; r < rows_.size(); ++r) {
      const TestRow& row = rows_[r];
      std::vector<uint32_t> wanted(stride_);
      const auto each_valid = [&](const std::vector<int32_t>& ids, auto change) {
        for (const int32_t id : ids) {
          if (id >= 0 && id < num_tokens_) change(wanted[static_cast<size_t>(id)]);
        }
      };
      each_valid(row.sampling.prompt, [](uint32_t& c) { c |= cuda::kSeenInPrompt; });
      each_valid(row.sampling.output, [](uint32_t& c) { ++c; });
      const bool counted = has_penalties(row.sampling) && row.given_token < 0;
      if (counted) each_valid({outcomes[r].token_id}, [](uint32_t& c) { ++c; });
      const bool same =
          std::memcmp(wanted.data(), &found[r * stride_], stride_ * sizeof(uint32_t)) == 0;
      expect(same, name + ", row " + std::to_string(r) + ": wrong token counts");
    }
  }

  // An array that may be given another size.
  template <class T>
  class Resizable {
   public:
    void assign(const std::vector<T>& host) { array_ = std::make_unique<DeviceArray<T>>(host); }
    T* data() const { return array_->data(); }

   private:
    std::unique_ptr<DeviceArray<T>> array_;
  };

  std::vector<TestRow> rows_;
  int vocab_size_;
  int num_tokens_;
  size_t stride_;
  std::vector<SampleRow> device_rows_;
  std::vector<int32_t> next_row_;
  DeviceArray<float> logits_dev_{rows_.size() * stride_};
  DeviceArray<SampleRow> rows_dev_{rows_.size()};
  DeviceArray<int32_t> next_row_dev_{rows_.size()};
  DeviceArray<int32_t> next_ids_dev_{rows_.size()};
  DeviceArray<uint32_t> counts_dev_{rows_.size() * stride_};
  DeviceArray<SampleOutcome> outcomes_dev_{rows_.size()};
  DeviceArray<SampleLogprob> logprobs_dev_{rows_.size() * kEntries};
  Resizable<int32_t> bias_ids_dev_, stop_ids_dev_;
  Resizable<float> bias_values_dev_;
};

}  // namespace glmoe::cuda_test
