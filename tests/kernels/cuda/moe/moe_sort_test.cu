#include "kernels/cuda/moe/moe_sort.h"

#include <algorithm>
#include <random>
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
using cuda_test::poison;
using Ints = std::vector<int32_t>;

struct Sorted {
  Ints offsets, slots, positions;
};

// By walking the slots once an expert.
Sorted sort_on_host(const Ints& ids, int num_experts) {
  Sorted sorted{Ints(static_cast<size_t>(num_experts) + 1), Ints(ids.size(), -1),
                Ints(ids.size(), -1)};
  std::vector<Ints> slots(static_cast<size_t>(num_experts));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < num_experts) {
      slots[static_cast<size_t>(ids[i])].push_back(static_cast<int32_t>(i));
    }
  }
  int32_t next = 0;
  for (size_t e = 0; e < slots.size(); ++e) {
    sorted.offsets[e] = next;
    for (const int32_t slot : slots[e]) {
      sorted.slots[static_cast<size_t>(next)] = slot;
      sorted.positions[static_cast<size_t>(slot)] = next++;
    }
  }
  sorted.offsets.back() = next;
  return sorted;
}

struct Case {
  int64_t num_rows;
  int slots_per_row;
  int num_experts;
};

// One block's share and its ends, several blocks, the models' shapes, all experts there may be.
constexpr Case kCases[] = {{1, 9, 129},     {1, 1, 1},        {3, 5, 17},     {64, 9, 161},
                           {455, 9, 129},   {4096, 1, 16},    {456, 9, 129},  {4097, 1, 16},
                           {2048, 9, 129},  {8192, 9, 129},   {1000, 40, 33}, {16384, 9, 161},
                           {700, 33, 1032}, {16384, 33, 1025}};

enum class Choice { kUniform, kSkewed, kWithHoles, kAllOne, kNone };

Ints choose(const Case& c, Choice choice, uint32_t seed) {
  std::mt19937 generator(seed);
  const auto below = [&](int n) { return static_cast<int32_t>(generator() % unsigned(n)); };
  Ints ids(static_cast<size_t>(c.num_rows) * static_cast<size_t>(c.slots_per_row));
  for (int32_t& id : ids) {
    switch (choice) {
      case Choice::kUniform: id = below(c.num_experts); break;
      case Choice::kSkewed: id = below(below(c.num_experts) + 1); break;
      case Choice::kWithHoles: id = below(c.num_experts + 5) - 3; break;
      case Choice::kAllOne: id = c.num_experts - 1; break;
      case Choice::kNone: id = -1; break;
    }
  }
  return ids;
}

struct Problem {
  explicit Problem(const Case& c)
      : size(static_cast<size_t>(c.num_rows) * static_cast<size_t>(c.slots_per_row)),
        ids(std::max<size_t>(size, 1)),
        offsets(static_cast<size_t>(c.num_experts) + 1),
        slots(std::max<size_t>(size, 1)),
        positions(std::max<size_t>(size, 1)),
        workspace(moe_sort_workspace_bytes(c.num_rows, c.slots_per_row, c.num_experts) + 16) {
    GLMOE_CUDA(cudaMemset(workspace.data(), 0, workspace.num_bytes()));
    params = {.expert_ids = ids.data(),
              .expert_offsets = offsets.data(),
              .sorted_slot = slots.data(),
              .position_of = positions.data(),
              .workspace = workspace.data(),
              .workspace_bytes = workspace.size(),
              .num_rows = c.num_rows,
              .slots_per_row = c.slots_per_row,
              .num_experts = c.num_experts};
  }

  size_t size;
  DeviceArray<int32_t> ids, offsets, slots, positions;
  DeviceArray<char> workspace;
  MoeSortParams params;
};

CUDA_TEST(TheSortIsTheHostsToTheLastSlot) {
  for (const Case& c : kCases) {
    Problem problem(c);
    // One workspace for all: each launch leaves it fit for the next.
    for (const Choice choice :
         {Choice::kUniform, Choice::kSkewed, Choice::kWithHoles, Choice::kAllOne, Choice::kNone}) {
      const Ints ids = choose(c, choice, 3);
      problem.ids.upload(ids);
      poison(problem.offsets), poison(problem.slots), poison(problem.positions);
      launch_moe_sort(problem.params, nullptr);
      const Sorted wanted = sort_on_host(ids, c.num_experts);
      const std::string what = std::to_string(c.num_rows) + " x " +
                               std::to_string(c.slots_per_row) + ", " +
                               std::to_string(c.num_experts) + " experts, choice " +
                               std::to_string(static_cast<int>(choice)) + ": ";
      const std::string offsets = first_difference(problem.offsets.download(), wanted.offsets);
      const std::string slots = first_difference(problem.slots.download(), wanted.slots);
      const std::string positions =
          first_difference(problem.positions.download(), wanted.positions);
      expect(offsets.empty(), what + "expert_offsets " + offsets);
      expect(slots.empty(), what + "sorted_slot " + slots);
      expect(positions.empty(), what + "position_of " + positions);
    }
  }
}

CUDA_TEST(NoRowsToSortGiveZeroOffsets) {
  const Problem problem({0, 9, 129});
  poison(problem.offsets);
  launch_moe_sort(problem.params, nullptr);
  for (const int32_t offset : problem.offsets.download()) {
    expect(offset == 0, "offset " + std::to_string(offset));
  }
}

CUDA_TEST(WrongSortParametersAreRefusedByName) {
  const Problem problem({1000, 9, 129});
  const auto refused = [&](auto change, const char* part) {
    MoeSortParams params = problem.params;
    change(params);
    expect_refused([&] { launch_moe_sort(params, nullptr); }, part);
  };
  refused([](MoeSortParams& p) { p.num_rows = -1; }, "num_rows is -1");
  refused([](MoeSortParams& p) { p.slots_per_row = 41; }, "slots_per_row is 41");
  refused([](MoeSortParams& p) { p.num_experts = 0; }, "num_experts is 0");
  refused([](MoeSortParams& p) { p.expert_ids = nullptr; }, "expert_ids is null");
  refused([](MoeSortParams& p) { p.workspace_bytes = 128; }, "workspace has 128 bytes");
}

}  // namespace
}  // namespace glmoe::cuda
