#include "kernels/cuda/moe/moe_router.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/moe/moe_sort.h"
#include "moe/moe_router_reference.h"
#include "test_values.h"

namespace glmoe::cuda {
namespace {

using cuda_test::Doubles;
using cuda_test::expect;
using cuda_test::expect_refused;
using cuda_test::first_difference;
using cuda_test::kTypeOf;
using cuda_test::narrow;
using cuda_test::normal_values;
using cuda_test::poison;
using cuda_test::widen;
using Bf16 = __nv_bfloat16;
using Mode = MoeRouterMode;
using Ints = std::vector<int32_t>;

constexpr Mode kModes[] = {Mode::kNone,          Mode::kRenormalize,         Mode::kSparseMixer,
                           Mode::kDeviceLimited, Mode::kDeviceLimitedRenorm, Mode::kSigmoidBias};

struct Case {
  int64_t num_rows;
  int hidden_size, num_experts, top_k, num_shared;
  int n_group = 1, topk_group = 1;

  size_t rows() const { return static_cast<size_t>(num_rows); }
  size_t width() const { return static_cast<size_t>(hidden_size); }
  size_t experts() const { return static_cast<size_t>(num_experts); }
  size_t slots() const { return static_cast<size_t>(top_k + num_shared); }
};

std::string describe(const Case& c, Mode mode) {
  return std::to_string(c.num_rows) + " x " + std::to_string(c.hidden_size) + ", " +
         std::to_string(c.top_k) + " of " + std::to_string(c.num_experts) + ", mode " +
         std::to_string(static_cast<int>(mode)) + " ";
}

template <class X>
struct Problem {
  explicit Problem(const Case& c)
      : Problem(c, normal_values<X>(c.rows() * c.width(), 1.0f, 21),
                // Logits of about 2 whatever H.
                normal_values<float>(c.experts() * c.width(),
                                     2.0f / std::sqrt(static_cast<float>(c.hidden_size)), 22),
                normal_values<float>(c.experts(), 0.1f, 23)) {}
  Problem(const Case& c, std::vector<X> x_values, std::vector<float> weight_values,
          std::vector<float> bias_values)
      : shape(c),
        x(std::move(x_values)),
        weight(std::move(weight_values)),
        bias(std::move(bias_values)),
        ids(c.rows() * c.slots()),
        weights(c.rows() * c.slots()),
        slots(c.rows() * c.slots()),
        positions(c.rows() * c.slots()),
        offsets(c.experts() + static_cast<size_t>(c.num_shared) + 1) {
    params.x = x_dev.data();
    params.weight = weight_dev.data();
    params.selection_bias = bias_dev.data();
    params.expert_ids = ids.data();
    params.weights = weights.data();
    params.x_type = kTypeOf<X>;
    params.num_rows = c.num_rows;
    params.hidden_size = c.hidden_size;
    params.num_experts = c.num_experts;
    params.top_k = c.top_k;
    params.num_shared = c.num_shared;
    params.n_group = c.n_group;
    params.topk_group = c.topk_group;
    params.epsilon = 0.2f;
    params.scaling_factor = 1.5f;
    params.normalize = true;
    workspace = std::make_unique<DeviceArray<char>>(moe_router_workspace_bytes(c.num_rows, params));
    GLMOE_CUDA(cudaMemset(workspace->data(), 0, workspace->num_bytes()));
    params.workspace = workspace->data();
    params.workspace_bytes = workspace->num_bytes();
  }
  void sorted() {
    params.expert_offsets = offsets.data();
    params.sorted_slot = slots.data();
    params.position_of = positions.data();
  }
  void run(Mode mode) {
    params.mode = mode;
    poison(ids), poison(weights), poison(slots), poison(positions), poison(offsets);
    launch_moe_router(params, nullptr);
    found_ids = ids.download();
    found_weights = weights.download();
  }
  // Of token t; with the sum of the products' sizes, which says what their rounding may cost.
  Doubles logits(size_t t, double* sizes) {
    const auto [known, is_new] = known_logits.try_emplace(t);
    if (is_new) known->second = make_logits(t);
    *sizes = known->second.sizes;
    return known->second.values;
  }
  Ints ids_of(size_t t) const {
    const auto first = found_ids.begin() + static_cast<ptrdiff_t>(t * shape.slots());
    return Ints(first, first + shape.top_k);
  }

  struct Logits {
    Doubles values;
    double sizes = 0.0;
  };
  Logits make_logits(size_t t) const {
    Logits logits;
    for (size_t e = 0; e < shape.experts(); ++e) {
      double sum = 0.0, size = 0.0;
      for (size_t i = 0; i < shape.width(); ++i) {
        const double product =
            widen(x[t * shape.width() + i]) * static_cast<double>(weight[e * shape.width() + i]);
        sum += product;
        size += std::abs(product);
      }
      logits.values.push_back(sum);
      logits.sizes = std::max(logits.sizes, size);
    }
    return logits;
  }

  Case shape;
  std::vector<X> x;
  std::vector<float> weight, bias;
  std::map<size_t, Logits> known_logits;  // all modes start from the same
  DeviceArray<X> x_dev{x};
  DeviceArray<float> weight_dev{weight}, bias_dev{bias};
  DeviceArray<int32_t> ids;
  DeviceArray<float> weights;
  DeviceArray<int32_t> slots, positions, offsets;
  std::unique_ptr<DeviceArray<char>> workspace;
  MoeRouterParams params;
  Ints found_ids;
  std::vector<float> found_weights;
};

// Expert k of the choice must have the k-th highest score, or one so near that F32 sums may
// exchange them; the weights must be those of the choice.
template <class X>
void check_token(Problem<X>& problem, Mode mode, size_t t) {
  const Case& c = problem.shape;
  const std::string what = describe(c, mode) + "token " + std::to_string(t) + ": ";
  double sizes = 0.0;
  const Doubles logits = problem.logits(t, &sizes);
  // A few half steps of F32 of what is summed; scores and weights change by no more than the
  // logits, sparse mixer's and renormalised ones by a small multiple.
  const double allowed = 4.0 * std::ldexp(sizes, -24) + 1e-6;
  const Doubles scores = cuda_test::selection_scores(problem.params, problem.bias.data(), logits);
  const Ints order = cuda_test::descending(scores);
  const Ints ids = problem.ids_of(t);
  for (size_t k = 0; k < ids.size(); ++k) {
    if (ids[k] < 0 || ids[k] >= c.num_experts || std::count(ids.begin(), ids.end(), ids[k]) != 1) {
      return expect(false, what + "id " + std::to_string(k) + " is " + std::to_string(ids[k]));
    }
    const double wanted = scores[static_cast<size_t>(order[k])];
    const double found = scores[static_cast<size_t>(ids[k])];
    expect(std::abs(found - wanted) <= allowed,
           what + "id " + std::to_string(k) + ": wanted " + std::to_string(order[k]) +
               " of score " + std::to_string(wanted) + ", got " + std::to_string(ids[k]) + " of " +
               std::to_string(found));
  }
  const auto weights_with = [&](double logit_error) {
    return cuda_test::choice_weights(problem.params, logits, scores, ids, logit_error);
  };
  const Doubles low = weights_with(allowed), high = weights_with(-allowed);
  const float* found = problem.found_weights.data() + t * c.slots();
  for (size_t k = 0; k < ids.size(); ++k) {
    const double slack = 4.0 * (allowed + 1e-6) * std::abs(high[k]);
    const double weight = static_cast<double>(found[k]);
    expect(weight >= low[k] - slack && weight <= high[k] + slack,
           what + "weight " + std::to_string(k) + ": wanted " + std::to_string(low[k]) + " to " +
               std::to_string(high[k]) + ", got " + std::to_string(weight));
  }
  for (size_t j = 0; j < static_cast<size_t>(c.num_shared); ++j) {
    const size_t at = t * c.slots() + static_cast<size_t>(c.top_k) + j;
    expect(problem.found_ids[at] == c.num_experts + static_cast<int>(j) && found[c.top_k + j] == 1,
           what + "shared slot " + std::to_string(j));
  }
}

// The models' shapes at one token and at the ends of each version of the kernels; widths that end
// inside a segment; all experts there may be, and one.
constexpr Case kCases[] = {
    {1, 4096, 128, 8, 1},
    {1, 5120, 160, 8, 1},
    {3, 256, 16, 4, 1},
    {17, 4096, 128, 8, 1},
    {64, 5120, 160, 8, 1, 8, 3},
    {256, 520, 128, 8, 1, 4, 2},
    {257, 4096, 128, 8, 1},
    {300, 5120, 160, 8, 0},
    {300, 256, 16, 4, 1},
    {4097, 264, 128, 8, 1},
    {4100, 520, 160, 8, 2, 16, 5},
    {5, 64, 1024, 32, 8, 64, 9},
    {270, 64, 1024, 32, 8},
    {4, 8, 1, 1, 0},
    {260, 8, 7, 3, 0},
    {20, 72, 200, 31, 3},
};

template <class X>
void check_all_modes() {
  for (const Case& c : kCases) {
    Problem<X> problem(c);
    for (const Mode mode : kModes) {
      problem.run(mode);
      // Every token where they are few, else some: the host's sums take their time.
      const size_t step = std::max<size_t>(c.rows() * c.width() * c.experts() >> 25, 1);
      for (size_t t = 0; t < c.rows(); t += step) check_token(problem, mode, t);
    }
  }
}

CUDA_TEST(TheRouterChoosesAsInDoubleFromBf16) { check_all_modes<Bf16>(); }
CUDA_TEST(TheRouterChoosesAsInDoubleFromF16) { check_all_modes<__half>(); }

// What lies behind the padding must be as empty as the padding itself.
template <class X>
void check_padding(int64_t num_rows, int num_valid) {
  const Case c{num_rows, 256, 16, 4, 1};
  Problem<X> problem(c);
  const DeviceArray<int> valid(std::vector<int>{num_valid});
  const DeviceArray<unsigned long long> counts(std::vector<unsigned long long>(16, 5));
  problem.params.num_valid = valid.data();
  problem.params.expert_counts = counts.data();
  problem.sorted();
  problem.run(Mode::kSigmoidBias);
  const size_t used = static_cast<size_t>(std::min<int64_t>(num_valid, num_rows));
  std::vector<unsigned long long> wanted(16, 5);
  for (size_t t = 0; t < c.rows(); ++t) {
    if (t < used) {
      check_token(problem, Mode::kSigmoidBias, t);
      for (const int32_t id : problem.ids_of(t)) ++wanted[static_cast<size_t>(id & 15)];
      continue;
    }
    for (size_t j = t * c.slots(); j < (t + 1) * c.slots(); ++j) {
      expect(problem.found_ids[j] == -1 && problem.found_weights[j] == 0.0f,
             "padding of row " + std::to_string(t) + " has id " +
                 std::to_string(problem.found_ids[j]));
    }
  }
  expect(counts.download() == wanted, "the counts are not those of the choices");
  const int total = problem.offsets.download().back();
  expect(
      total == static_cast<int>(used * c.slots()),
      "wanted " + std::to_string(used * c.slots()) + " sorted slots, got " + std::to_string(total));
}

CUDA_TEST(PaddingIsNotRoutedAndNotCounted) {
  for (const int64_t rows : {int64_t{1}, int64_t{40}, int64_t{200}, int64_t{300}, int64_t{4200}}) {
    for (const int64_t valid : {int64_t{0}, rows / 2, rows, rows + 7}) {
      check_padding<Bf16>(rows, static_cast<int>(valid));
    }
  }
}

// x = (1, 0, ...): the logits are the weights' first column, to the bit.
CUDA_TEST(WeightsThatDifferInTheirLastBitAreToldApart) {
  for (const int64_t rows : {int64_t{1}, int64_t{300}}) {
    const Case c{rows, 64, 32, 8, 0};
    std::vector<Bf16> x(c.rows() * c.width(), narrow<Bf16>(0.0f));
    std::vector<float> weight = normal_values<float>(c.experts() * c.width(), 1.0f, 31);
    for (size_t t = 0; t < c.rows(); ++t) x[t * c.width()] = narrow<Bf16>(1.0f);
    for (size_t e = 0; e < c.experts(); ++e) {
      weight[e * c.width()] = 1.7f + static_cast<float>(e * 7 % 32) * std::ldexp(1.0f, -23);
    }
    Problem<Bf16> problem(c, x, weight, std::vector<float>(c.experts(), 0.0f));
    problem.run(Mode::kNone);
    for (size_t k = 0; k < 8; ++k) {
      const int32_t id = problem.found_ids[k];
      expect(id * 7 % 32 == 31 - static_cast<int>(k),
             "rank " + std::to_string(k) + " is expert " + std::to_string(id));
    }
  }
}

// Logits that are small whole numbers are exact on both sides, and many are equal.
template <class X>
void check_ties(const Case& c, float nan_at_expert) {
  std::vector<X> x = normal_values<X>(c.rows() * c.width(), 1.0f, 33);
  std::vector<float> weight = normal_values<float>(c.experts() * c.width(), 1.0f, 34);
  for (X& value : x) value = narrow<X>(std::round(static_cast<float>(value) * 0.6f));
  for (float& value : weight) value = std::round(value * 0.6f);
  for (size_t i = 0; i < c.width(); ++i) weight[2 * c.width() + i] = nan_at_expert;
  // A token whose logits are all NaN, or all 0.
  for (size_t i = 0; i < c.width(); ++i) x[i] = narrow<X>(nan_at_expert);
  Problem<X> problem(c, x, weight, std::vector<float>(c.experts(), 0.25f));
  for (const Mode mode : kModes) {
    problem.run(mode);
    for (size_t t = 0; t < c.rows(); ++t) {
      double sizes = 0.0;
      const Doubles scores = cuda_test::selection_scores(problem.params, problem.bias.data(),
                                                         problem.logits(t, &sizes));
      Ints wanted = cuda_test::descending(scores);
      wanted.resize(static_cast<size_t>(c.top_k));
      const std::string difference = first_difference(problem.ids_of(t), wanted);
      expect(difference.empty(),
             describe(c, mode) + "token " + std::to_string(t) + " " + difference);
    }
  }
}

CUDA_TEST(TiesGoToTheLowestIndex) {
  check_ties<Bf16>({64, 16, 24, 8, 1, 4, 2}, 0.0f);
  check_ties<__half>({300, 16, 24, 8, 1, 4, 2}, 0.0f);
}

CUDA_TEST(NanRanksBelowEverything) {
  check_ties<Bf16>({64, 16, 24, 24, 1}, NAN);
  check_ties<__half>({300, 16, 24, 8, 1}, NAN);
}

// Bits of a token's choice must not depend on the version of the kernels that made it.
template <class X>
void check_batches() {
  const Case c{4200, 1024, 160, 8, 1};
  Problem<X> problem(c);
  problem.run(Mode::kSigmoidBias);
  const Ints ids = problem.found_ids;
  const std::vector<float> weights = problem.found_weights;
  for (const int64_t rows : {1, 5, 64, 100, 257, 2000}) {
    const int64_t first = 4200 - rows - 3;
    MoeRouterParams part = problem.params;
    part.x = problem.x_dev.data() + first * c.hidden_size;
    part.num_rows = rows;
    poison(problem.ids), poison(problem.weights);
    launch_moe_router(part, nullptr);
    const size_t size = static_cast<size_t>(rows) * c.slots();
    const auto offset = static_cast<ptrdiff_t>(static_cast<size_t>(first) * c.slots());
    std::vector<int32_t> part_ids = problem.ids.download();
    std::vector<float> part_weights = problem.weights.download();
    part_ids.resize(size), part_weights.resize(size);
    const std::string a = first_difference(
        part_ids, Ints(ids.begin() + offset, ids.begin() + offset + static_cast<ptrdiff_t>(size)));
    const std::string b = first_difference(
        part_weights, std::vector<float>(weights.begin() + offset,
                                         weights.begin() + offset + static_cast<ptrdiff_t>(size)));
    expect(a.empty(), std::to_string(rows) + " rows: ids " + a);
    expect(b.empty(), std::to_string(rows) + " rows: weights " + b);
  }
}

CUDA_TEST(ATokenIsRoutedToTheBitAsInAnyBatch) { check_batches<Bf16>(), check_batches<__half>(); }

CUDA_TEST(TheRoutersSortIsThatOfItsOwnKernel) {
  for (const int64_t rows : {1, 16, 17, 64, 65, 256, 700, 4200}) {
    for (const int num_shared : {0, 1, 2}) {
      const Case c{rows, 64, 129, 8, num_shared};
      Problem<Bf16> problem(c);
      problem.sorted();
      for (int again = 0; again < 2; ++again) problem.run(Mode::kRenormalize);
      const Ints offsets = problem.offsets.download(), slots = problem.slots.download();
      const Ints positions = problem.positions.download();
      poison(problem.offsets), poison(problem.slots), poison(problem.positions);
      const int num_experts = 129 + num_shared, slots_per_row = 8 + num_shared;
      const DeviceArray<char> workspace(moe_sort_workspace_bytes(rows, slots_per_row, num_experts) +
                                        16);
      GLMOE_CUDA(cudaMemset(workspace.data(), 0, workspace.num_bytes()));
      launch_moe_sort({.expert_ids = problem.ids.data(),
                       .expert_offsets = problem.offsets.data(),
                       .sorted_slot = problem.slots.data(),
                       .position_of = problem.positions.data(),
                       .workspace = workspace.data(),
                       .workspace_bytes = workspace.size(),
                       .num_rows = rows,
                       .slots_per_row = slots_per_row,
                       .num_experts = num_experts},
                      nullptr);
      const std::string what = std::to_string(rows) + " rows: ";
      const std::string a = first_difference(offsets, problem.offsets.download());
      const std::string b = first_difference(slots, problem.slots.download());
      const std::string d = first_difference(positions, problem.positions.download());
      expect(a.empty() && b.empty() && d.empty(), what + a + " / " + b + " / " + d);
    }
  }
}

CUDA_TEST(WrongRouterParametersAreRefusedByName) {
  const Problem<Bf16> problem({2, 256, 16, 4, 1});
  const auto refused = [&](auto change, const char* part) {
    MoeRouterParams params = problem.params;
    change(params);
    expect_refused([&] { launch_moe_router(params, nullptr); }, part);
  };
  refused([](MoeRouterParams& p) { p.hidden_size = 100; }, "hidden_size is 100");
  refused([](MoeRouterParams& p) { p.num_experts = 1025; }, "num_experts is 1025");
  refused([](MoeRouterParams& p) { p.top_k = 17; }, "top_k is 17");
  refused([](MoeRouterParams& p) { p.num_shared = 9; }, "num_shared is 9");
  refused([](MoeRouterParams& p) { p.n_group = 3; }, "n_group is 3");
  refused([](MoeRouterParams& p) { p.x_type = ElementType::kF32; }, "x_type is float32");
  refused([](MoeRouterParams& p) { p.x = nullptr; }, "x is null");
  refused([](MoeRouterParams& p) { p.sorted_slot = p.expert_ids; }, "give all or none");
  refused([](MoeRouterParams& p) { p.workspace_bytes = 100; }, "workspace has 100 bytes");
}

}  // namespace
}  // namespace glmoe::cuda
