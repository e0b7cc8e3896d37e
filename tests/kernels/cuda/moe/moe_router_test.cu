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
#include "moe/moe_router_problem.h"
#include "moe/moe_router_reference.h"
#include "test_values.h"

namespace glmoe::cuda {
namespace {

using cuda_test::Doubles;
using cuda_test::expect;
using cuda_test::expect_refused;
using cuda_test::first_difference;
using cuda_test::normal_values;
using cuda_test::poison;
using Case = cuda_test::RouterCase;
using Problem = cuda_test::RouterProblem;
using Mode = MoeRouterMode;
using Ints = std::vector<int32_t>;

constexpr Mode kModes[] = {Mode::kNone,          Mode::kRenormalize,         Mode::kSparseMixer,
                           Mode::kDeviceLimited, Mode::kDeviceLimitedRenorm, Mode::kSigmoidBias};

// Expert k of the choice must have the k-th highest score, or one so near that F32 sums may
// exchange them; the weights must be those of the choice.
void check_token(Problem& problem, Mode mode, size_t t) {
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

void check_all_modes(bool with_factors) {
  for (const Case& c : kCases) {
    if (cuda_test::leaves_out(c.numbers())) continue;
    Problem problem(c);
    if (with_factors) problem.scale_rows(37.5f);
    for (const Mode mode : kModes) {
      problem.run(mode);
      // Every token where they are few, else some: the host's sums take their time.
      const size_t step = std::max<size_t>(c.rows() * c.width() * c.experts() >> 25, 1);
      for (size_t t = 0; t < c.rows(); t += step) check_token(problem, mode, t);
    }
  }
}

CUDA_TEST(TheRouterChoosesAsInDouble) { check_all_modes(false); }
CUDA_TEST(TheRouterChoosesAsInDoubleWithRowsThatHaveFactors) { check_all_modes(true); }

// What lies behind the padding must be as empty as the padding itself.
void check_padding(int64_t num_rows, int num_valid) {
  const Case c{num_rows, 256, 16, 4, 1};
  Problem problem(c);
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
      check_padding(rows, static_cast<int>(valid));
    }
  }
}

// x = (1, 0, ...): the logits are the weights' first column, to the bit.
CUDA_TEST(WeightsThatDifferInTheirLastBitAreToldApart) {
  for (const int64_t rows : {int64_t{1}, int64_t{300}}) {
    const Case c{rows, 64, 32, 8, 0};
    std::vector<float> x(c.rows() * c.width(), 0.0f);
    std::vector<float> weight = normal_values<float>(c.experts() * c.width(), 1.0f, 31);
    for (size_t t = 0; t < c.rows(); ++t) x[t * c.width()] = 1.0f;
    for (size_t e = 0; e < c.experts(); ++e) {
      weight[e * c.width()] = 1.7f + static_cast<float>(e * 7 % 32) * std::ldexp(1.0f, -23);
    }
    Problem problem(c, x, weight, std::vector<float>(c.experts(), 0.0f));
    problem.run(Mode::kNone);
    for (size_t k = 0; k < 8; ++k) {
      const int32_t id = problem.found_ids[k];
      expect(id * 7 % 32 == 31 - static_cast<int>(k),
             "rank " + std::to_string(k) + " is expert " + std::to_string(id));
    }
  }
}

// Expert 31 has the first column as its logit, all others the second, which is a last bit less or
// more.
CUDA_TEST(ActivationsThatDifferInTheirLastBitAreToldApart) {
  for (const int64_t rows : {int64_t{16}, int64_t{300}, int64_t{600}}) {
    const Case c{rows, 64, 32, 1, 0};
    std::vector<float> x(c.rows() * c.width(), 0.0f);
    std::vector<float> weight(c.experts() * c.width(), 0.0f);
    for (size_t t = 0; t < c.rows(); ++t) {
      const float value = 1.7f + static_cast<float>(t % 61) * std::ldexp(1.0f, -23);
      x[t * c.width()] = value;
      x[t * c.width() + 1] = std::nextafter(value, t % 3 == 0 ? 2.0f : 1.0f);
    }
    for (size_t e = 0; e < c.experts(); ++e) weight[e * c.width() + (e == 31 ? 0 : 1)] = 1.0f;
    Problem problem(c, x, weight, std::vector<float>(c.experts(), 0.0f));
    problem.run(Mode::kNone);
    for (size_t t = 0; t < c.rows(); ++t) {
      const int32_t wanted = t % 3 == 0 ? 0 : 31;
      expect(problem.found_ids[t] == wanted, "token " + std::to_string(t) + " takes expert " +
                                                 std::to_string(problem.found_ids[t]));
    }
  }
}

// Logits that are small whole numbers are exact on both sides, and many are equal.
void check_ties(const Case& c, float nan_at_expert) {
  std::vector<float> x = normal_values<float>(c.rows() * c.width(), 1.0f, 33);
  std::vector<float> weight = normal_values<float>(c.experts() * c.width(), 1.0f, 34);
  for (float& value : x) value = std::round(value * 0.6f);
  for (float& value : weight) value = std::round(value * 0.6f);
  for (size_t i = 0; i < c.width(); ++i) weight[2 * c.width() + i] = nan_at_expert;
  // A token whose logits are all NaN, or all 0.
  for (size_t i = 0; i < c.width(); ++i) x[i] = nan_at_expert;
  Problem problem(c, x, weight, std::vector<float>(c.experts(), 0.25f));
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
  check_ties({64, 16, 24, 8, 1, 4, 2}, 0.0f);
  check_ties({300, 16, 24, 8, 1, 4, 2}, 0.0f);
}

CUDA_TEST(NanRanksBelowEverything) {
  check_ties({64, 16, 24, 24, 1}, NAN);
  check_ties({300, 16, 24, 8, 1}, NAN);
}

// Bits of a token's choice must not depend on the version of the kernels that made it.
void check_batches() {
  const Case c{4200, cuda_test::leaves_out(4.3e6) ? 64 : 1024, 160, 8, 1};
  Problem problem(c);
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

CUDA_TEST(ATokenIsRoutedToTheBitAsInAnyBatch) { check_batches(); }

CUDA_TEST(TheRoutersSortIsThatOfItsOwnKernel) {
  for (const int64_t rows : {1, 16, 17, 64, 65, 256, 700, 4200}) {
    for (const int num_shared : {0, 1, 2}) {
      const Case c{rows, 64, 129, 8, num_shared};
      Problem problem(c);
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
  const Problem problem({2, 256, 16, 4, 1});
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
  refused([](MoeRouterParams& p) { p.x = nullptr; }, "x is null");
  refused([](MoeRouterParams& p) { p.sorted_slot = p.expert_ids; }, "give all or none");
  refused([](MoeRouterParams& p) { p.workspace_bytes = 100; }, "workspace has 100 bytes");
}

}  // namespace
}  // namespace glmoe::cuda
