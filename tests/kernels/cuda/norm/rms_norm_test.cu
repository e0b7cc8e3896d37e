#include "kernels/cuda/norm/rms_norm.h"

#include <cuda_bf16.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"
#include "test_values.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;
using cuda_test::kTypeOf;
using cuda_test::narrow;
using cuda_test::normal_values;
using cuda_test::poison;
using cuda_test::same_bits;
using cuda_test::widen;

struct Case {
  int64_t num_rows;
  int hidden_size;
  bool add;
  float magnitude;  // of x
};

// The widths of the models (5120, 4096, head size 128), the smallest, the largest, those that end
// inside a warp or a thread's chunks; one row and many; values whose squares are tiny or huge.
constexpr Case kCases[] = {
    {1, 5120, true, 1.0f},   {1, 5120, false, 1.0f},   {257, 5120, true, 1.0f},
    {64, 4096, true, 30.0f}, {1000, 128, false, 1.0f}, {3, 8, true, 1.0f},
    {5, 264, true, 1.0f},    {2, 2568, false, 1.0f},   {2, 16384, true, 1.0f},
    {3, 16392, true, 1.0f},  {2, 32768, false, 1.0f},  {7, 1536, true, 1e-4f},
    {7, 1536, false, 1e4f},
};
constexpr float kEps = 1e-5f;

template <class X, class Gamma, class Out>
struct Problem {
  Problem(const Case& c, uint32_t seed)
      : size(static_cast<size_t>(c.num_rows) * static_cast<size_t>(c.hidden_size)),
        x(normal_values<X>(size, c.magnitude, seed)),
        delta(normal_values<X>(size, c.magnitude, seed + 1)),
        gamma(normal_values<Gamma>(static_cast<size_t>(c.hidden_size), 1.0f, seed + 2)) {
    params.x = x_dev.data();
    params.gamma = gamma_dev.data();
    params.out = out_dev.data();
    params.x_type = kTypeOf<X>;
    params.gamma_type = kTypeOf<Gamma>;
    params.out_type = kTypeOf<Out>;
    params.num_rows = c.num_rows;
    params.hidden_size = c.hidden_size;
    params.eps = kEps;
    if (c.add) params.delta = delta_dev.data(), params.sum = sum_dev.data();
    poison(out_dev);
    poison(sum_dev);
  }

  size_t size;
  std::vector<X> x, delta;
  std::vector<Gamma> gamma;
  DeviceArray<X> x_dev{x}, delta_dev{delta}, sum_dev{size};
  DeviceArray<Gamma> gamma_dev{gamma};
  DeviceArray<Out> out_dev{size};
  RmsNormParams params;
};

std::string describe(const Case& c) {
  std::string text = std::to_string(c.num_rows);
  text.append(" x ").append(std::to_string(c.hidden_size)).append(c.add ? " with delta" : "");
  return text.append(", magnitude ").append(std::to_string(c.magnitude));
}

// |found - wanted| may be half a step of the type beyond F32's own error, and no more.
template <class T>
bool close(T found, double wanted) {
  constexpr double kStep = std::is_same_v<T, float> ? 0.0 : 1.0 / 256.0;
  constexpr double kF32Error = 4e-6;
  return std::abs(widen(found) - wanted) <= (kStep + kF32Error) * std::abs(wanted) + 1e-30;
}

template <class X, class Gamma, class Out>
void check_against_double(const Case& c, uint32_t seed) {
  Problem<X, Gamma, Out> problem(c, seed);
  launch_rms_norm(problem.params, nullptr);
  const std::vector<Out> out = problem.out_dev.download();
  const std::vector<X> sum = problem.sum_dev.download();
  const size_t width = static_cast<size_t>(c.hidden_size);
  std::vector<double> row(width);
  size_t wrong = 0;
  for (size_t first = 0; first < problem.size; first += width) {
    double squares = 0.0;
    for (size_t i = 0; i < width; ++i) {
      const size_t at = first + i;
      X value = problem.x[at];
      if (c.add) {
        value =
            narrow<X>(static_cast<float>(problem.x[at]) + static_cast<float>(problem.delta[at]));
        wrong += widen(sum[at]) == widen(value) ? 0 : 1;  // exact, and a NaN is not
      }
      row[i] = widen(value);
      squares += row[i] * row[i];
    }
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(width) + kEps);
    for (size_t i = 0; i < width; ++i) {
      wrong += close(out[first + i], row[i] * scale * widen(problem.gamma[i])) ? 0 : 1;
    }
  }
  expect(wrong == 0, describe(c) + ": " + std::to_string(wrong) + " wrong values of " +
                         std::to_string(problem.size));
}

template <class X, class Gamma, class Out>
void check_all_cases() {
  uint32_t seed = 1;
  for (const Case& c : kCases) {
    seed += 10;
    if (cuda_test::leaves_out(static_cast<double>(c.num_rows * c.hidden_size))) continue;
    check_against_double<X, Gamma, Out>(c, seed);
  }
}

CUDA_TEST(Bf16AgreesWithDouble) { check_all_cases<__nv_bfloat16, __nv_bfloat16, __nv_bfloat16>(); }

CUDA_TEST(F32AgreesWithDouble) { check_all_cases<float, float, float>(); }

CUDA_TEST(MixedTypesAgreeWithDouble) {
  check_all_cases<float, __nv_bfloat16, float>();
  check_all_cases<float, float, __nv_bfloat16>();
  check_all_cases<float, __nv_bfloat16, __nv_bfloat16>();
  check_all_cases<__nv_bfloat16, float, __nv_bfloat16>();
  check_all_cases<__nv_bfloat16, __nv_bfloat16, float>();
  check_all_cases<__nv_bfloat16, float, float>();
}

CUDA_TEST(EveryDivisionOfARowAgreesWithDouble) {
  const Case c{4, 5120, true, 1.0f};
  for (const RmsNormConfig& config : {RmsNormConfig{1, 640}, RmsNormConfig{1, 1024},
                                      RmsNormConfig{2, 320}, RmsNormConfig{4, 160}}) {
    Problem<float, float, float> wanted(c, 5);
    launch_rms_norm(wanted.params, nullptr);
    Problem<float, float, float> found(c, 5);
    launch_rms_norm(found.params, config, nullptr);
    const std::vector<float> a = wanted.out_dev.download();
    const std::vector<float> b = found.out_dev.download();
    size_t wrong = 0;
    for (size_t i = 0; i < a.size(); ++i) wrong += close(b[i], a[i]) ? 0 : 1;
    expect(wrong == 0, std::to_string(config.threads) + " threads: " + std::to_string(wrong));
  }
}

CUDA_TEST(ARowIsTheSameBitsAloneAndAmongOthers) {
  const Case c{64, 5120, true, 1.0f};
  Problem<__nv_bfloat16, __nv_bfloat16, float> problem(c, 7);
  launch_rms_norm(problem.params, nullptr);
  const std::vector<float> together = problem.out_dev.download();
  poison(problem.out_dev);
  for (int64_t row = 0; row < c.num_rows; ++row) {
    RmsNormParams one = problem.params;
    const int64_t offset = row * c.hidden_size;
    one.x = problem.x_dev.data() + offset;
    one.delta = problem.delta_dev.data() + offset;
    one.sum = problem.sum_dev.data() + offset;
    one.out = problem.out_dev.data() + offset;
    one.num_rows = 1;
    launch_rms_norm(one, nullptr);
  }
  expect(same_bits(together, problem.out_dev.download()), "rows differ");
}

CUDA_TEST(EachRowsFactorIsThatOfItsNorm) {
  const Case c{70, 4096, false, 3.0f};
  Problem<float, float, __nv_bfloat16> problem(c, 15);
  const DeviceArray<float> factors(70);
  problem.params.row_factors = factors.data();
  launch_rms_norm(problem.params, nullptr);
  const std::vector<float> found = factors.download();
  for (size_t row = 0; row < 70; ++row) {
    double squares = 0.0;
    for (size_t i = 0; i < 4096; ++i) {
      squares += widen(problem.x[row * 4096 + i]) * widen(problem.x[row * 4096 + i]);
    }
    expect(close(found[row], 1.0 / std::sqrt(squares / 4096 + kEps)),
           "row " + std::to_string(row) + " has the factor " + std::to_string(found[row]));
  }
}

CUDA_TEST(TheSumMayOverwriteXAndTheOutputDelta) {
  const Case c{33, 4096, true, 1.0f};
  Problem<__nv_bfloat16, float, __nv_bfloat16> apart(c, 9);
  launch_rms_norm(apart.params, nullptr);
  Problem<__nv_bfloat16, float, __nv_bfloat16> in_place(c, 9);
  in_place.params.sum = in_place.x_dev.data();
  in_place.params.out = in_place.delta_dev.data();
  launch_rms_norm(in_place.params, nullptr);
  expect(same_bits(apart.sum_dev.download(), in_place.x_dev.download()), "sums differ");
  expect(same_bits(apart.out_dev.download(), in_place.delta_dev.download()), "outputs differ");
}

CUDA_TEST(ARowOfZerosGivesZerosAndANaNStaysInItsRow) {
  const Case c{3, 128, false, 1.0f};
  Problem<float, float, float> problem(c, 11);
  for (size_t i = 0; i < 128; ++i) problem.x[i] = 0.0f;
  problem.x[128 + 5] = NAN;
  problem.x_dev.upload(problem.x);
  launch_rms_norm(problem.params, nullptr);
  const std::vector<float> out = problem.out_dev.download();
  for (size_t i = 0; i < 128; ++i) {
    expect(out[i] == 0.0f, "row 0 is not zero");
    expect(std::isnan(out[128 + i]), "row 1 hides its NaN");
    expect(std::isfinite(out[256 + i]), "row 2 has its neighbour's NaN");
  }
}

CUDA_TEST(NoRowsIsNoWork) {
  launch_rms_norm({.num_rows = 0, .hidden_size = 5120, .eps = kEps}, nullptr);
}

CUDA_TEST(WrongParametersAreRefusedByName) {
  const Problem<float, float, float> problem({2, 128, true, 1.0f}, 13);
  const auto refused = [&](auto change, const char* part) {
    RmsNormParams params = problem.params;
    change(params);
    expect_refused([&] { launch_rms_norm(params, nullptr); }, part);
  };
  refused([](RmsNormParams& p) { p.hidden_size = 100; }, "hidden_size is 100");
  refused([](RmsNormParams& p) { p.hidden_size = 32776; }, "hidden_size is 32776");
  refused([](RmsNormParams& p) { p.hidden_size = 0; }, "hidden_size is 0");
  refused([](RmsNormParams& p) { p.num_rows = -1; }, "num_rows is -1");
  refused([](RmsNormParams& p) { p.eps = NAN; }, "eps");
  refused([](RmsNormParams& p) { p.gamma = nullptr; }, "gamma is null");
  refused([](RmsNormParams& p) { p.sum = nullptr; }, "delta and sum");
  refused([](RmsNormParams& p) { p.x = static_cast<const float*>(p.x) + 1; }, "x is not aligned");
  expect_refused([&] { launch_rms_norm(problem.params, {.chunks_per_thread = 3}, nullptr); },
                 "do not cover");
}

}  // namespace
}  // namespace glmoe::cuda
