// Mirrors: src/kernels/cuda/sample/argmax.cu, src/kernels/cuda/sample/row_best.cuh
#include "kernels/cuda/sample/argmax.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;

constexpr ArgmaxConfig kConfigs[] = {{8, 512}, {4, 512}, {2, 512}, {1, 1024}};

// What a row of a test holds beside random numbers.
enum Kind { kPlain, kTies, kNan, kNothing, kInfinities, kSignedZeros, kLast, kNumKinds };

std::vector<float> make_row(int kind, size_t size, std::mt19937& random) {
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> row(size);
  for (float& value : row) value = normal(random);
  const auto any = [&]() -> float& { return row[random() % size]; };
  switch (kind) {
    case kTies: any() = any() = any() = any() = 50.0f; break;
    case kNan: any() = any() = NAN; break;
    case kNothing: row.assign(size, -INFINITY); break;
    case kInfinities: any() = any() = INFINITY, any() = -INFINITY; break;
    case kSignedZeros:
      for (float& value : row) value = random() % 2 == 0 ? 0.0f : -0.0f;
      break;
    case kLast: row.back() = 1e30f; break;
    default: break;
  }
  return row;
}

SampleOutcome wanted_outcome(const float* row, size_t size) {
  SampleOutcome wanted{-1, SampleStatus::kNothingToSample, -1, 0};
  for (size_t i = 0; i < size; ++i) {
    const auto id = static_cast<int32_t>(i);
    if (std::isnan(row[i])) return {-1, SampleStatus::kNanLogits, id, 0};
    if (row[i] == -INFINITY) continue;
    if (wanted.token_id >= 0 && !(row[i] > row[wanted.token_id])) continue;
    wanted.token_id = id;
    wanted.status = SampleStatus::kSampled;
  }
  return wanted;
}

std::string text(const SampleOutcome& o) {
  return "token " + std::to_string(o.token_id) + " status " +
         std::to_string(static_cast<int>(o.status)) + " first NaN " + std::to_string(o.first_nan);
}

void check(int num_rows, int num_tokens, const ArgmaxConfig& config, uint32_t seed) {
  std::mt19937 random(seed);
  const size_t rows = static_cast<size_t>(num_rows);
  const size_t tokens = static_cast<size_t>(num_tokens);
  const size_t stride = (tokens + 7) / 4 * 4;
  std::vector<float> logits(rows * stride, NAN);  // behind a row's end nothing may be looked at
  std::vector<int32_t> next_row(rows);
  for (size_t r = 0; r < rows; ++r) {
    const std::vector<float> row = make_row(static_cast<int>(r + seed) % kNumKinds, tokens, random);
    std::copy(row.begin(), row.end(), logits.begin() + static_cast<std::ptrdiff_t>(r * stride));
    next_row[r] = r % 4 == 3 ? -1 : num_rows - 1 - static_cast<int>(r);
  }
  const DeviceArray<float> logits_dev(logits);
  const DeviceArray<int32_t> next_row_dev(next_row), next_ids_dev(rows);
  const DeviceArray<SampleOutcome> outcomes_dev(rows);
  GLMOE_CUDA(cudaMemset(outcomes_dev.data(), 0x99, outcomes_dev.num_bytes()));
  GLMOE_CUDA(cudaMemset(next_ids_dev.data(), 0x99, next_ids_dev.num_bytes()));
  launch_argmax({.logits = logits_dev.data(),
                 .row_stride = static_cast<int64_t>(stride),
                 .num_rows = num_rows,
                 .num_tokens = num_tokens,
                 .outcomes = outcomes_dev.data(),
                 .next_row = next_row_dev.data(),
                 .next_token_ids = next_ids_dev.data()},
                config, nullptr);
  const std::vector<SampleOutcome> outcomes = outcomes_dev.download();
  const std::vector<int32_t> next = next_ids_dev.download();
  for (size_t r = 0; r < rows; ++r) {
    const SampleOutcome wanted = wanted_outcome(&logits[r * stride], tokens);
    const SampleOutcome& found = outcomes[r];
    expect(found.token_id == wanted.token_id && found.status == wanted.status &&
               found.first_nan == wanted.first_nan && found.num_logprobs == 0,
           std::to_string(num_tokens) + " tokens, " + std::to_string(config.blocks) + " x " +
               std::to_string(config.threads) + ", row " + std::to_string(r) + ": " + text(found) +
               ", wanted " + text(wanted));
    if (next_row[r] < 0) continue;
    const int32_t written = next[static_cast<size_t>(next_row[r])];
    expect(written == wanted.token_id,
           "row " + std::to_string(r) + ": the next step's token is " + std::to_string(written));
  }
}

CUDA_TEST(ArgmaxIsTheFirstOfTheHighestInEveryDivision) {
  uint32_t seed = 1;
  for (const ArgmaxConfig& config : kConfigs) {
    for (const int num_tokens : {1, 2, 3, 4, 5, 31, 1000, 4099, 33333}) {
      check(15, num_tokens, config, ++seed);
    }
    check(21, 151365, config, ++seed);
  }
}

CUDA_TEST(ArgmaxOfOneAndOfManyRows) {
  for (int kind = 0; kind < kNumKinds; ++kind) {
    check(1, 151552, argmax_config(1), static_cast<uint32_t>(kind));
  }
  check(256, 20000, argmax_config(256), 3);
}

CUDA_TEST(WrongArgmaxParametersAreRefusedByName) {
  const DeviceArray<float> logits(8);
  const DeviceArray<SampleOutcome> outcomes(1);
  const ArgmaxParams good{.logits = logits.data(),
                          .row_stride = 8,
                          .num_rows = 1,
                          .num_tokens = 7,
                          .outcomes = outcomes.data()};
  const auto refused = [&](auto change, const char* part) {
    ArgmaxParams params = good;
    change(params);
    expect_refused([&] { launch_argmax(params, nullptr); }, part);
  };
  refused([](ArgmaxParams& p) { p.num_rows = -1; }, "num_rows is -1");
  refused([](ArgmaxParams& p) { p.num_tokens = 0; }, "num_tokens is 0");
  refused([](ArgmaxParams& p) { p.num_tokens = 9; }, "row_stride is 8");
  refused([](ArgmaxParams& p) { p.row_stride = 7; }, "row_stride is 7");
  refused([](ArgmaxParams& p) { p.logits = nullptr; }, "logits is null");
  refused([](ArgmaxParams& p) { ++p.logits; }, "logits is not aligned");
  refused([](ArgmaxParams& p) { p.outcomes = nullptr; }, "outcomes is null");
  refused([](ArgmaxParams& p) { p.next_token_ids = reinterpret_cast<int32_t*>(p.outcomes); },
          "next_row and next_token_ids");
  expect_refused([&] { launch_argmax(good, {3, 512}, nullptr); }, "3 blocks of 512");
}

}  // namespace
}  // namespace glmoe::cuda
