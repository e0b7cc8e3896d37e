// Mirrors: src/kernels/cuda/moe/moe_gather.cu, src/kernels/cuda/moe/moe_combine.cu,
// src/kernels/cuda/moe/silu_mul.cu, src/kernels/cuda/moe/moe_import.cu
#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/moe/moe_combine.h"
#include "kernels/cuda/moe/moe_gather.h"
#include "kernels/cuda/moe/moe_import.h"
#include "kernels/cuda/moe/silu_mul.h"
#include "test_values.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;
using cuda_test::first_difference;
using cuda_test::kHalfStep;
using cuda_test::kTypeOf;
using cuda_test::narrow;
using cuda_test::normal_values;
using cuda_test::poison;
using cuda_test::widen;
using Bf16 = __nv_bfloat16;
using Ints = std::vector<int32_t>;

struct Case {
  int64_t num_rows;
  int slots_per_row;
  int hidden_size;

  size_t num_slots() const {
    return static_cast<size_t>(num_rows) * static_cast<size_t>(slots_per_row);
  }
  size_t width() const { return static_cast<size_t>(hidden_size); }
  double numbers() const { return static_cast<double>(num_slots() * width()); }
};

constexpr Case kCases[] = {{1, 9, 4096},  {1, 1, 8},     {3, 5, 256},   {37, 9, 5120},
                           {200, 4, 264}, {5, 40, 1032}, {300, 9, 4096}};

std::string describe(const Case& c) {
  return std::to_string(c.num_rows) + " x " + std::to_string(c.slots_per_row) + " x " +
         std::to_string(c.hidden_size) + " ";
}

// A permutation of the slots in which every seventh has no position.
struct Permutation {
  Ints slot_at, position_of;
};

Permutation permute(size_t num_slots, uint32_t seed) {
  Permutation p{Ints(num_slots, -1), Ints(num_slots, -1)};
  Ints slots;
  for (size_t i = 0; i < num_slots; ++i) {
    if (i % 7 != 6) slots.push_back(static_cast<int32_t>(i));
  }
  std::shuffle(slots.begin(), slots.end(), std::mt19937(seed));
  for (size_t i = 0; i < slots.size(); ++i) {
    p.slot_at[i] = slots[i];
    p.position_of[static_cast<size_t>(slots[i])] = static_cast<int32_t>(i);
  }
  return p;
}

template <class T>
void check_gather(const Case& c) {
  const std::vector<T> x = normal_values<T>(static_cast<size_t>(c.num_rows) * c.width(), 1.0f, 5);
  const Permutation order = permute(c.num_slots(), 6);
  const DeviceArray<T> x_dev(x), out(c.num_slots() * c.width());
  const DeviceArray<int32_t> positions(order.position_of);
  poison(out);
  std::vector<T> wanted = out.download();  // rows without a slot stay poison
  for (size_t i = 0; i < order.slot_at.size(); ++i) {
    if (order.slot_at[i] < 0) continue;
    const size_t row = static_cast<size_t>(order.slot_at[i] / c.slots_per_row);
    std::copy_n(x.begin() + static_cast<ptrdiff_t>(row * c.width()), c.width(),
                wanted.begin() + static_cast<ptrdiff_t>(i * c.width()));
  }
  launch_moe_gather({.x = x_dev.data(),
                     .position_of = positions.data(),
                     .out = out.data(),
                     .type = kTypeOf<T>,
                     .num_rows = c.num_rows,
                     .slots_per_row = c.slots_per_row,
                     .hidden_size = c.hidden_size},
                    nullptr);
  const std::string difference = first_difference(out.download(), wanted);
  expect(difference.empty(), describe(c) + difference);
}

CUDA_TEST(GatherCopiesEveryRowToItsPosition) {
  for (const Case& c : kCases) {
    if (!cuda_test::leaves_out(c.numbers())) check_gather<Bf16>(c), check_gather<__half>(c);
  }
}

// num_valid < 0: the kernel is given none.
template <class Y>
void check_combine(const Case& c, int num_valid) {
  const size_t size = static_cast<size_t>(c.num_rows) * c.width();
  const std::vector<float> residual = normal_values<float>(size, 3.0f, 7);
  const std::vector<float> weights = normal_values<float>(c.num_slots(), 0.5f, 8);
  const std::vector<Y> y = normal_values<Y>(c.num_slots() * c.width(), 1.0f, 9);
  const Permutation order = permute(c.num_slots(), 10);
  const DeviceArray<float> residual_dev(residual), weights_dev(weights);
  const DeviceArray<Y> y_dev(y);
  const DeviceArray<int32_t> positions(order.position_of), valid(Ints{num_valid});
  launch_moe_combine({.residual = residual_dev.data(),
                      .y = y_dev.data(),
                      .weights = weights_dev.data(),
                      .position_of = positions.data(),
                      .num_valid = num_valid < 0 ? nullptr : valid.data(),
                      .y_type = kTypeOf<Y>,
                      .num_rows = c.num_rows,
                      .slots_per_row = c.slots_per_row,
                      .hidden_size = c.hidden_size},
                     nullptr);
  const std::vector<float> found = residual_dev.download();
  for (size_t i = 0; i < size; ++i) {
    const size_t row = i / c.width(), column = i % c.width();
    double wanted = widen(residual[i]), sizes = std::abs(wanted);
    const bool left_alone = num_valid >= 0 && row >= static_cast<size_t>(num_valid);
    for (size_t j = 0; j < static_cast<size_t>(c.slots_per_row) && !left_alone; ++j) {
      const size_t slot = row * static_cast<size_t>(c.slots_per_row) + j;
      if (order.position_of[slot] < 0) continue;
      const size_t at = static_cast<size_t>(order.position_of[slot]) * c.width() + column;
      wanted += widen(weights[slot]) * widen(y[at]);
      sizes += std::abs(widen(weights[slot]) * widen(y[at]));
    }
    // Each of the K' + 1 sums may cost half a step of F32 of the sizes added.
    const double allowed = left_alone ? 0.0 : sizes * (c.slots_per_row + 1) * std::ldexp(1.0, -24);
    if (std::abs(found[i] - wanted) <= allowed) continue;
    expect(false, describe(c) + "at " + std::to_string(i) + ": wanted " + std::to_string(wanted) +
                      ", got " + std::to_string(found[i]));
  }
}

CUDA_TEST(CombineAddsEverySlotByItsWeight) {
  for (const Case& c : kCases) {
    if (cuda_test::leaves_out(c.numbers())) continue;
    check_combine<float>(c, -1), check_combine<Bf16>(c, -1), check_combine<__half>(c, -1);
    check_combine<float>(c, static_cast<int>(c.num_rows / 2));
    check_combine<Bf16>(c, 0);
  }
}

// Without a residual: the same sum, rounded once, over whatever was there.
template <class Y, class Out>
void check_combine_alone(const Case& c) {
  const size_t size = static_cast<size_t>(c.num_rows) * c.width();
  const std::vector<float> weights = normal_values<float>(c.num_slots(), 0.5f, 18);
  const std::vector<Y> y = normal_values<Y>(c.num_slots() * c.width(), 1.0f, 19);
  const Permutation order = permute(c.num_slots(), 20);
  const DeviceArray<float> zeros(std::vector<float>(size, 0.0f)), weights_dev(weights);
  const DeviceArray<Y> y_dev(y);
  const DeviceArray<int32_t> positions(order.position_of);
  const DeviceArray<Out> out(size);
  poison(out);
  MoeCombineParams p{.residual = zeros.data(),
                     .y = y_dev.data(),
                     .weights = weights_dev.data(),
                     .position_of = positions.data(),
                     .y_type = kTypeOf<Y>,
                     .out_type = kTypeOf<Out>,
                     .num_rows = c.num_rows,
                     .slots_per_row = c.slots_per_row,
                     .hidden_size = c.hidden_size};
  launch_moe_combine(p, nullptr);
  p.residual = nullptr;
  p.out = out.data();
  launch_moe_combine(p, nullptr);
  std::vector<Out> wanted;
  for (const float sum : zeros.download()) wanted.push_back(narrow<Out>(sum));
  expect(first_difference(out.download(), wanted).empty(), describe(c) + "into a new row");
}

CUDA_TEST(CombineWithoutAResidualWritesTheRoundedSum) {
  for (const Case& c : kCases) {
    if (cuda_test::leaves_out(c.numbers())) continue;
    check_combine_alone<float, Bf16>(c), check_combine_alone<float, __half>(c);
    check_combine_alone<Bf16, Bf16>(c), check_combine_alone<__half, __half>(c);
  }
}

CUDA_TEST(ImportTakesNumbersOfEitherSizeAndWeightsOfAnyType) {
  constexpr int kExperts = 7;
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 1000; ++i) ids.push_back(i % 11 - 2);  // some are no expert
  ids[5] = int64_t{1} << 40;
  Ints wanted_ids, narrow_ids;
  for (const int64_t id : ids) {
    wanted_ids.push_back(id >= 0 && id < kExperts ? static_cast<int32_t>(id) : -1);
    narrow_ids.push_back(static_cast<int32_t>(std::min<int64_t>(id, kExperts)));
  }
  const auto check = [&](auto zero, bool wide) {
    using W = decltype(zero);
    const std::vector<W> weights = normal_values<W>(ids.size(), 0.5f, 21);
    const DeviceArray<int64_t> wide_dev(ids);
    const DeviceArray<int32_t> narrow_dev(narrow_ids), to_ids(ids.size());
    const DeviceArray<W> weights_dev(weights);
    const DeviceArray<float> to_weights(ids.size());
    poison(to_ids), poison(to_weights);
    launch_moe_import({.expert_ids = wide ? static_cast<void*>(wide_dev.data()) : narrow_dev.data(),
                       .ids_64_bit = wide,
                       .weights = weights_dev.data(),
                       .weights_type = kTypeOf<W>,
                       .to_ids = to_ids.data(),
                       .to_weights = to_weights.data(),
                       .num_slots = static_cast<int64_t>(ids.size()),
                       .num_experts = kExperts},
                      nullptr);
    expect(to_ids.download() == wanted_ids, "expert numbers");
    std::vector<float> wanted;
    for (const W weight : weights) wanted.push_back(static_cast<float>(weight));
    expect(to_weights.download() == wanted, "weights");
  };
  check(0.0f, true), check(narrow<Bf16>(0.0f), true), check(narrow<__half>(0.0f), false);
}

CUDA_TEST(WidenKeepsEveryValue) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    const std::vector<T> values = normal_values<T>(8 * 777, 3.0f, 22);
    const DeviceArray<T> from(values);
    const DeviceArray<float> to(values.size());
    poison(to);
    launch_widen(from.data(), kTypeOf<T>, to.data(), 8 * 777, nullptr);
    std::vector<float> wanted;
    for (const T value : values) wanted.push_back(static_cast<float>(value));
    expect(to.download() == wanted, "widened values");
  };
  check(narrow<Bf16>(0.0f)), check(narrow<__half>(0.0f));
}

template <class In, class Out>
void check_silu_mul(int64_t num_rows, int width, int interleave, int num_valid) {
  const size_t columns = static_cast<size_t>(width);
  const size_t size = static_cast<size_t>(num_rows) * columns;
  const std::vector<In> gate_up = normal_values<In>(2 * size, 3.0f, 11);
  const DeviceArray<In> gate_up_dev(gate_up);
  const DeviceArray<Out> out(size);
  const DeviceArray<int32_t> valid(Ints{num_valid});
  poison(out);
  launch_silu_mul({.gate_up = gate_up_dev.data(),
                   .out = out.data(),
                   .num_valid = num_valid < 0 ? nullptr : valid.data(),
                   .in_type = kTypeOf<In>,
                   .out_type = kTypeOf<Out>,
                   .num_rows = num_rows,
                   .width = width,
                   .interleave = interleave},
                  nullptr);
  const std::vector<Out> found = out.download();
  for (size_t i = 0; i < size; ++i) {
    const size_t row = i / columns, c = i % columns;
    const size_t gate_at = interleave == kGateUpBy8 ? 16 * (c / 8) + c % 8 : c;
    const size_t up_at = interleave == kGateUpBy8 ? gate_at + 8 : columns + c;
    const double gate = widen(gate_up[2 * row * columns + gate_at]);
    const double wanted =
        gate / (1.0 + std::exp(-gate)) * widen(gate_up[2 * row * columns + up_at]);
    const bool left_alone = num_valid >= 0 && row >= static_cast<size_t>(num_valid);
    const double allowed = (kHalfStep<Out> + 1e-6) * std::abs(wanted) + 6e-8;
    if (left_alone ? std::isnan(widen(found[i])) : std::abs(widen(found[i]) - wanted) <= allowed) {
      continue;
    }
    expect(false, std::to_string(num_rows) + " x " + std::to_string(width) + " interleaved by " +
                      std::to_string(interleave) + ", at " + std::to_string(i) + ": wanted " +
                      std::to_string(wanted) + ", got " + std::to_string(widen(found[i])));
  }
}

CUDA_TEST(SiluMulIsSwiGluInBothLayouts) {
  for (const int interleave : {kGateUpPlain, kGateUpBy8}) {
    for (const auto& [rows, width] :
         {std::pair<int64_t, int>{1, 8}, {9, 1408}, {5, 1536}, {33, 128}}) {
      check_silu_mul<Bf16, Bf16>(rows, width, interleave, -1);
      check_silu_mul<float, Bf16>(rows, width, interleave, -1);
      check_silu_mul<__half, __half>(rows, width, interleave, static_cast<int>(rows / 2));
      check_silu_mul<float, __half>(rows, width, interleave, 0);
    }
  }
}

CUDA_TEST(WrongRowParametersAreRefusedByName) {
  const DeviceArray<float> memory(1024);
  const auto refused = [&](auto launch, auto params, auto change, const char* part) {
    change(params);
    expect_refused([&] { launch(params, nullptr); }, part);
  };
  const DeviceArray<int32_t> ints(64);
  const MoeGatherParams gather{.x = memory.data(),
                               .position_of = ints.data(),
                               .out = memory.data(),
                               .num_rows = 2,
                               .slots_per_row = 2,
                               .hidden_size = 64};
  refused(
      launch_moe_gather, gather, [](auto& p) { p.hidden_size = 12; }, "hidden_size is 12");
  refused(
      launch_moe_gather, gather, [](auto& p) { p.type = ElementType::kF32; }, "type is float32");
  refused(
      launch_moe_gather, gather, [](auto& p) { p.out = nullptr; }, "out is null");
  const MoeCombineParams combine{.residual = memory.data(),
                                 .y = memory.data(),
                                 .weights = memory.data(),
                                 .position_of = ints.data(),
                                 .num_rows = 2,
                                 .slots_per_row = 2,
                                 .hidden_size = 64};
  refused(
      launch_moe_combine, combine, [](auto& p) { p.slots_per_row = 41; }, "slots_per_row is 41");
  refused(
      launch_moe_combine, combine, [](auto& p) { ++p.residual; }, "residual is not aligned");
  refused(
      launch_moe_combine, combine, [](auto& p) { p.residual = nullptr; }, "out is null");
  const auto alone = [&](auto& p) { p.residual = nullptr, p.out = memory.data(); };
  refused(
      launch_moe_combine, combine, [&](auto& p) { alone(p), p.out_type = ElementType::kF32; },
      "out_type is float32");
  refused(
      launch_moe_combine, combine, [&](auto& p) { alone(p), p.y_type = ElementType::kF16; },
      "y_type");
  const MoeImportParams import{.expert_ids = memory.data(),
                               .weights = memory.data(),
                               .to_ids = ints.data(),
                               .to_weights = memory.data(),
                               .num_slots = 4,
                               .num_experts = 2};
  refused(
      launch_moe_import, import, [](auto& p) { p.num_experts = 0; }, "num_experts is 0");
  refused(
      launch_moe_import, import, [](auto& p) { p.to_ids = nullptr; }, "to_ids is null");
  expect_refused([&] { launch_widen(memory.data(), ElementType::kF32, memory.data(), 8, nullptr); },
                 "type is float32");
  const SiluMulParams silu{
      .gate_up = memory.data(), .out = memory.data(), .num_rows = 2, .width = 64};
  refused(
      launch_silu_mul, silu, [](auto& p) { p.interleave = 4; }, "interleave is 4");
  refused(
      launch_silu_mul, silu, [](auto& p) { p.out_type = ElementType::kF32; }, "out_type");
  refused(
      launch_silu_mul, silu, [](auto& p) { p.width = 4; }, "width is 4");
}

}  // namespace
}  // namespace glmoe::cuda
