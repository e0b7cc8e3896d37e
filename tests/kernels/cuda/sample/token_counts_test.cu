#include "kernels/cuda/sample/token_counts.h"

#include <random>
#include <string>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;

constexpr int kNumIds = 1000;
constexpr int64_t kStride = 1004;
constexpr int kNumSlots = 3;

std::vector<int32_t> random_ids(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids(count);
  // Some outside, on both sides.
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % (kNumIds + 40)) - 20;
  return ids;
}

TokenCountsParams params_for(uint32_t* counts, const DeviceArray<int32_t>& ids, CountedAs as) {
  return {.counts = counts,
          .stride = kStride,
          .num_token_ids = kNumIds,
          .token_ids = ids.data(),
          .num_tokens = static_cast<int64_t>(ids.size()),
          .slot = 1,
          .counted_as = as};
}

CUDA_TEST(TokensAreCountedInTheirSlotAlone) {
  const std::vector<int32_t> prompt = random_ids(5000, 1);
  const std::vector<int32_t> output = random_ids(777, 2);
  std::vector<uint32_t> wanted(kNumSlots * kStride, 0x99999999u);
  for (int64_t i = 0; i < kStride; ++i) wanted[static_cast<size_t>(kStride + i)] = 0;
  const auto at = [&](int32_t id) -> uint32_t& {
    return wanted[static_cast<size_t>(kStride + id)];
  };
  const auto inside = [](int32_t id) { return id >= 0 && id < kNumIds; };
  for (const int32_t id : prompt) {
    if (inside(id)) at(id) |= kSeenInPrompt;
  }
  for (const int32_t id : output) {
    if (inside(id)) ++at(id);
  }
  const DeviceArray<uint32_t> counts(wanted.size());
  const DeviceArray<int32_t> prompt_dev(prompt), output_dev(output);
  GLMOE_CUDA(cudaMemset(counts.data(), 0x99, counts.num_bytes()));
  clear_token_counts(counts.data(), kStride, 1, nullptr);
  launch_token_counts(params_for(counts.data(), output_dev, CountedAs::kOutput), nullptr);
  launch_token_counts(params_for(counts.data(), prompt_dev, CountedAs::kPrompt), nullptr);
  const std::vector<uint32_t> found = counts.download();
  for (size_t i = 0; i < wanted.size(); ++i) {
    expect(found[i] == wanted[i], "count " + std::to_string(i) + " is " + std::to_string(found[i]) +
                                      ", wanted " + std::to_string(wanted[i]));
  }
}

CUDA_TEST(WrongTokenCountsParametersAreRefusedByName) {
  const DeviceArray<uint32_t> counts(kStride);
  const DeviceArray<int32_t> ids(4);
  const auto refused = [&](auto change, const char* part) {
    TokenCountsParams params = params_for(counts.data(), ids, CountedAs::kPrompt);
    change(params);
    expect_refused([&] { launch_token_counts(params, nullptr); }, part);
  };
  refused([](TokenCountsParams& p) { p.counts = nullptr; }, "counts is null");
  refused([](TokenCountsParams& p) { p.stride = 0; }, "stride is 0");
  refused([](TokenCountsParams& p) { p.num_token_ids = 1005; }, "num_token_ids is 1005");
  refused([](TokenCountsParams& p) { p.slot = -1; }, "slot is -1");
  refused([](TokenCountsParams& p) { p.num_tokens = -1; }, "num_tokens is -1");
  refused([](TokenCountsParams& p) { p.token_ids = nullptr; }, "token_ids is null");
  expect_refused([&] { clear_token_counts(counts.data(), kStride, -2, nullptr); }, "slot is -2");
}

}  // namespace
}  // namespace glmoe::cuda
