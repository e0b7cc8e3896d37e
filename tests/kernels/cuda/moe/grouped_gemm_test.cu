// Mirrors: src/kernels/cuda/moe/grouped_gemm.cu, src/kernels/cuda/moe/grouped_gemm_bf16.cu,
// src/kernels/cuda/moe/grouped_gemm_f16.cu
#include "kernels/cuda/moe/grouped_gemm.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"
#include "test_values.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;
using cuda_test::first_difference;
using cuda_test::kHalfStep;
using cuda_test::kTypeOf;
using cuda_test::poison;
using cuda_test::uniform_values;
using cuda_test::widen;
using Bf16 = __nv_bfloat16;
using Epilogue = GroupedGemmEpilogue;

struct Case {
  std::vector<int> rows;  // of each expert
  int n, k;
  int spare_rows = 0;  // behind the last expert's

  int used_rows() const {
    int sum = 0;
    for (const int count : rows) sum += count;
    return sum;
  }
  size_t all_rows() const { return static_cast<size_t>(used_rows() + spare_rows); }
  size_t columns() const { return static_cast<size_t>(n); }
  size_t depth() const { return static_cast<size_t>(k); }
  std::vector<int32_t> offsets() const {
    std::vector<int32_t> sums{0};
    for (const int count : rows) sums.push_back(sums.back() + count);
    return sums;
  }
};

std::string describe(const Case& c) {
  std::string text;
  for (const int count : c.rows) text += std::to_string(count) + " ";
  return text + "rows, N " + std::to_string(c.n) + ", K " + std::to_string(c.k) + ": ";
}

std::vector<int> repeated(int count, std::vector<int> pattern) {
  std::vector<int> rows;
  for (int i = 0; i < count; ++i) rows.push_back(pattern[static_cast<size_t>(i) % pattern.size()]);
  return rows;
}

// The models' widths; the demo's; rows that end in either warpgroup's half, at its end and one
// behind; experts without rows first, last and between; none with any; one with all of them, past
// the raster's bands; N and K that end inside a tile, even inside an instruction.
std::vector<Case> cases() {
  return {{{3, 0, 64, 65, 128, 129, 1}, 512, 256},
          {{0, 5}, 2816, 4096, 3},
          {{70, 300}, 4096, 1408},
          {{1, 130}, 3072, 5120},
          {{64}, 5120, 1536},
          {repeated(17, {4, 0, 20, 1}), 256, 256},
          {repeated(17, {4, 0, 20, 1}), 256, 128},
          {{0, 0, 0}, 256, 128, 40},
          {{0, 2500, 0}, 528, 72, 5},
          {{10, 100}, 16, 8},
          {{10, 100, 200}, 272, 1000},
          {{192, 193, 440, 385, 1160}, 272, 520},  // rests that are cut once more, and not
          {repeated(129, {3, 1, 0, 7, 66, 2}), 384, 192},
          {repeated(1032, {0, 1}), 16, 64}};
}

template <class T, class Out>
struct Problem {
  Problem(const Case& c, Epilogue epilogue)
      : shape(c),
        width(c.columns() / (epilogue == Epilogue::kSiluMul ? 2 : 1)),
        x(uniform_values<T>(std::max<size_t>(c.all_rows() * c.depth(), 1), 1.7f, 41)),
        weight(uniform_values<T>(c.rows.size() * c.columns() * c.depth(),
                                 2.6f / std::sqrt(static_cast<float>(c.k)), 42)),
        y_dev(std::max<size_t>(c.all_rows() * width, 1)) {
    params = {.x = x_dev.data(),
              .weight = weight_dev.data(),
              .y = y_dev.data(),
              .expert_offsets = offsets_dev.data(),
              .type = kTypeOf<T>,
              .y_type = kTypeOf<Out>,
              .epilogue = epilogue,
              .max_rows = static_cast<int64_t>(c.all_rows()),
              .num_experts = static_cast<int>(c.rows.size()),
              .n = c.n,
              .k = c.k};
  }
  std::vector<Out> run(bool count = false) {
    poison(y_dev);
    params.counters = count ? counters_dev.data() : nullptr;
    launch_grouped_gemm(params, nullptr);
    return y_dev.download();
  }
  // One sum of the product, and what F32 may be off: a step of the sizes summed for each of the
  // K / 16 instructions that add to it.
  double product(size_t row, size_t expert, size_t column, double* error) const {
    double sum = 0.0, sizes = 0.0;
    const T* from = x.data() + row * shape.depth();
    const T* by = weight.data() + (expert * shape.columns() + column) * shape.depth();
    for (size_t i = 0; i < shape.depth(); ++i) {
      const double term = widen(from[i]) * widen(by[i]);
      sum += term;
      sizes += std::abs(term);
    }
    *error = sizes * std::ldexp(static_cast<double>(shape.k) / 16 + 1, -23);
    return sum;
  }

  Case shape;
  size_t width;
  std::vector<T> x, weight;
  DeviceArray<T> x_dev{x}, weight_dev{weight};
  DeviceArray<int32_t> offsets_dev{shape.offsets()};
  DeviceArray<Out> y_dev;
  DeviceArray<unsigned> counters_dev{std::vector<unsigned>(2, 0)};
  GroupedGemmParams params;
};

template <class T, class Out>
void check_value(const Problem<T, Out>& problem, size_t row, size_t expert, size_t column,
                 Out found) {
  double wanted, error;
  if (problem.params.epilogue == Epilogue::kSiluMul) {
    const size_t gate_at = column / 8 * 16 + column % 8;
    double gate_error, up_error;
    const double gate = problem.product(row, expert, gate_at, &gate_error);
    const double up = problem.product(row, expert, gate_at + 8, &up_error);
    const double silu = gate / (1.0 + std::exp(-gate));
    wanted = silu * up;
    // silu's slope is below 1.1.
    error = 1.1 * std::abs(up) * gate_error + std::abs(silu) * up_error + 1e-6 * std::abs(wanted);
  } else {
    wanted = problem.product(row, expert, column, &error);
  }
  const double allowed = error + kHalfStep<Out> * (std::abs(wanted) + error) + 6e-8;
  if (std::abs(widen(found) - wanted) <= allowed) return;
  expect(false, describe(problem.shape) + "row " + std::to_string(row) + " of expert " +
                    std::to_string(expert) + ", column " + std::to_string(column) + ": wanted " +
                    std::to_string(wanted) + ", got " + std::to_string(widen(found)));
}

template <class T, class Out>
void check_case(const Case& c, Epilogue epilogue) {
  if (cuda_test::leaves_out(static_cast<double>(c.used_rows()) * static_cast<double>(c.depth()))) {
    return;
  }
  Problem<T, Out> problem(c, epilogue);
  const std::vector<Out> y = problem.run();
  // With counters, and again: a launch leaves them fit for the next.
  for (int again = 0; again < 2; ++again) {
    const std::string difference = first_difference(problem.run(true), y);
    expect(difference.empty(), describe(c) + "with counters " + difference);
  }
  const std::vector<int32_t> offsets = c.offsets();
  // About 2^24 products of the host's a case: in every row some columns, others in the next.
  const size_t all = static_cast<size_t>(c.used_rows()) * problem.width * c.depth();
  const size_t step = std::max<size_t>(all >> 24, 1) | 1;
  for (size_t e = 0; e < c.rows.size(); ++e) {
    for (auto row = static_cast<size_t>(offsets[e]); row < static_cast<size_t>(offsets[e + 1]);
         ++row) {
      for (size_t column = row * 7 % step; column < problem.width; column += step) {
        check_value(problem, row, e, column, y[row * problem.width + column]);
      }
    }
  }
  for (size_t i = 0; i < c.all_rows() * problem.width; ++i) {
    const bool used = i < static_cast<size_t>(c.used_rows()) * problem.width;
    if (std::isnan(widen(y[i])) != used) continue;
    expect(false, describe(c) + (used ? "not written: " : "written behind the last row: ") +
                      std::to_string(i));
  }
}

CUDA_TEST(EveryExpertsRowsMeetItsOwnWeights) {
  for (const Case& c : cases()) {
    check_case<Bf16, Bf16>(c, Epilogue::kStore);
    check_case<Bf16, float>(c, Epilogue::kStore);
    check_case<__half, __half>(c, Epilogue::kStore);
    check_case<__half, float>(c, Epilogue::kStore);
  }
}

CUDA_TEST(SwiGluInTheEpilogueIsThatOfTheSums) {
  for (const Case& c : cases()) {
    check_case<Bf16, Bf16>(c, Epilogue::kSiluMul);
    check_case<__half, __half>(c, Epilogue::kSiluMul);
  }
}

// Rows move to other places of a tile and to the other warpgroup.
CUDA_TEST(ARowsProductIsTheSameBitsAmongOthers) {
  const Case many{{130, 0, 77, 300}, 272, 520};
  Problem<Bf16, float> problem(many, Epilogue::kStore);
  const std::vector<float> together = problem.run();
  const size_t width = problem.width;
  for (size_t e = 0; e < many.rows.size(); ++e) {
    const auto first = static_cast<size_t>(many.offsets()[e]);
    for (size_t skip = 0; skip < static_cast<size_t>(many.rows[e]); skip += 43) {
      std::vector<int32_t> offsets(many.rows.size() + 1, 0);
      const int32_t count = many.rows[e] - static_cast<int32_t>(skip);
      std::fill(offsets.begin() + static_cast<ptrdiff_t>(e) + 1, offsets.end(), count);
      const DeviceArray<int32_t> offsets_dev(offsets);
      GroupedGemmParams params = problem.params;
      params.expert_offsets = offsets_dev.data();
      params.x = problem.x_dev.data() + (first + skip) * many.depth();
      params.max_rows = count;
      poison(problem.y_dev);
      launch_grouped_gemm(params, nullptr);
      std::vector<float> alone = problem.y_dev.download();
      alone.resize(static_cast<size_t>(count) * width);
      const auto begin = together.begin() + static_cast<ptrdiff_t>((first + skip) * width);
      const std::string difference = first_difference(
          alone, std::vector<float>(begin, begin + static_cast<ptrdiff_t>(alone.size())));
      expect(difference.empty(), "expert " + std::to_string(e) + " from row " +
                                     std::to_string(skip) + ": " + difference);
    }
  }
}

CUDA_TEST(NoRowsAreNoProduct) {
  launch_grouped_gemm({.max_rows = 0, .num_experts = 3, .n = 64, .k = 64}, nullptr);
}

CUDA_TEST(WrongGroupedGemmParametersAreRefusedByName) {
  const Problem<Bf16, Bf16> problem({{2, 3}, 64, 64}, Epilogue::kStore);
  const auto refused = [&](auto change, const char* part) {
    GroupedGemmParams params = problem.params;
    change(params);
    expect_refused([&] { launch_grouped_gemm(params, nullptr); }, part);
  };
  refused([](GroupedGemmParams& p) { p.n = 60; }, "n is 60");
  refused([](GroupedGemmParams& p) { p.k = 12; }, "k is 12");
  refused([](GroupedGemmParams& p) { p.num_experts = 0; }, "num_experts is 0");
  refused([](GroupedGemmParams& p) { p.type = ElementType::kF32; }, "type is float32");
  refused([](GroupedGemmParams& p) { p.y_type = ElementType::kF16; }, "y_type is float16");
  refused([](GroupedGemmParams& p) { p.max_rows = -1; }, "max_rows is -1");
  refused([](GroupedGemmParams& p) { p.y = nullptr; }, "y is null");
  refused([](GroupedGemmParams& p) { p.x = static_cast<const char*>(p.x) + 2; },
          "x is not aligned");
  refused(
      [](GroupedGemmParams& p) {
        p.epilogue = Epilogue::kSiluMul;
        p.n = 40;
      },
      "n is 40");
}

}  // namespace
}  // namespace glmoe::cuda
