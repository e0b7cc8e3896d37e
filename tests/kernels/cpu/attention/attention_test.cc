#include "kernels/cpu/attention/attention.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "support/compare.h"

namespace glmoe::kernels {
namespace {

// Every test leaves the choice of the instruction set as it was.
class AttentionKernel : public ::testing::Test {
 protected:
  void TearDown() override { use(0); }
  static void use(int64_t target) {  // 0: whatever the machine has
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

struct Aligned {
  explicit Aligned(int64_t count) : memory(static_cast<size_t>(count) + 16) {}
  float* data() {
    const auto address = reinterpret_cast<uintptr_t>(memory.data());
    return reinterpret_cast<float*>((address + 63) / 64 * 64);
  }
  std::vector<float> memory;
};

std::vector<float> numbers(int64_t count, uint64_t seed, float scale) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = scale * static_cast<float>(2.0 * random_uniform(seed, 0, i) - 1.0);
  }
  return values;
}

// One tile over pages of 8 that lie in descending order; all splits, merged, as [queries, D].
std::vector<float> attend(AttentionTile tile, const std::vector<float>& q,
                          const std::vector<float>& keys, const std::vector<float>& values) {
  const int64_t context = tile.first_position + tile.num_rows;
  std::vector<int32_t> table;
  for (int64_t p = 0; p < context; p += 8) table.push_back(static_cast<int32_t>(p / 8));
  tile.q = q.data();
  tile.keys = keys.data();
  tile.values = values.data();
  tile.block_table = table.data();
  tile.block_stride = 8 * tile.head_dim;
  tile.tokens_per_block = 8;
  const int64_t queries = tile.num_queries();
  Aligned a(AttentionPartial::num_floats(queries, tile.head_dim));
  Aligned b(AttentionPartial::num_floats(queries, tile.head_dim));
  Aligned scratch(attention_scratch_floats(queries, tile.head_dim));
  const auto total = AttentionPartial::in(a.data(), queries);
  const auto part = AttentionPartial::in(b.data(), queries);
  attend_split(tile, 0, total, scratch.data());
  for (int64_t s = 1; s < tile.num_splits(); ++s) {
    attend_split(tile, s, part, scratch.data());
    merge_partial(queries, tile.head_dim, total, part);
  }
  std::vector<float> out(static_cast<size_t>(queries * tile.head_dim));
  finish_attention(tile, total, out.data(), tile.group * tile.head_dim);
  return out;
}

std::vector<float> plain(const AttentionTile& tile, const std::vector<float>& q,
                         const std::vector<float>& keys, const std::vector<float>& values) {
  const auto dim = static_cast<size_t>(tile.head_dim);
  std::vector<float> out;
  for (int64_t m = 0; m < tile.num_queries(); ++m) {
    const auto seen = static_cast<size_t>(tile.first_position + m / tile.group + 1);
    std::vector<double> scores(seen), sum(dim);
    double highest = -INFINITY, total = 0.0;
    for (size_t p = 0; p < seen; ++p) {
      for (size_t d = 0; d < dim; ++d) {
        scores[p] += static_cast<double>(q[static_cast<size_t>(m) * dim + d]) * keys[p * dim + d];
      }
      scores[p] *= tile.scale;
      highest = std::max(highest, scores[p]);
    }
    for (size_t p = 0; p < seen; ++p) {
      const double weight = std::exp(scores[p] - highest);
      total += weight;
      for (size_t d = 0; d < dim; ++d) sum[d] += weight * values[p * dim + d];
    }
    for (const double value : sum) out.push_back(static_cast<float>(value / total));
  }
  return out;
}

AttentionTile tile_of(int64_t rows, int64_t group, int64_t dim, int64_t first) {
  return {.q_stride = group * dim,
          .num_rows = rows,
          .group = group,
          .head_dim = dim,
          .scale = 0.2f,
          .first_position = first};
}

TEST_F(AttentionKernel, EveryInstructionSetComputesTheSame) {
  for (const auto& tile : {tile_of(1, 12, 128, 700), tile_of(9, 5, 21, 60), tile_of(3, 1, 16, 511),
                           tile_of(2, 7, 1, 0), tile_of(8, 12, 48, 120)}) {
    const int64_t room = (tile.first_position + tile.num_rows + 7) / 8 * 8 * tile.head_dim;
    const auto q = numbers(tile.num_queries() * tile.head_dim, 1, 3.0f);
    const auto keys = numbers(room, 2, 1.0f), values = numbers(room, 3, 1.0f);
    const auto wanted = plain(tile, q, keys, values);
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      use(target);
      EXPECT_TRUE(testing::all_close(attend(tile, q, keys, values), wanted,
                                     {.absolute = 2e-6, .relative = 2e-5}))
          << hwy::TargetName(target) << ", D " << tile.head_dim;
      use(0);
    }
  }
}

TEST_F(AttentionKernel, HugeScoresNeitherOverflowNorLoseTheHighest) {
  const AttentionTile tile = tile_of(1, 2, 16, 149);
  std::vector<float> q(32, 1.0f);
  std::vector<float> keys(152 * 16, -1e30f), values(152 * 16, 1.0f);
  std::fill_n(keys.begin() + 77 * 16, 16, 1e30f);  // one key takes everything
  std::fill_n(values.begin() + 77 * 16, 16, 7.0f);
  EXPECT_EQ(attend(tile, q, keys, values), std::vector<float>(32, 7.0f));
}

TEST_F(AttentionKernel, KeysAtMinusInfinityCountForNothing) {
  const AttentionTile tile = tile_of(1, 1, 16, 99);
  std::vector<float> q(16, 1.0f), keys(104 * 16, -INFINITY), values(104 * 16, 1.0f);
  std::fill_n(keys.begin() + 90 * 16, 16, 0.0f);  // the whole first tile is at -infinity
  std::fill_n(values.begin() + 90 * 16, 16, 3.0f);
  EXPECT_EQ(attend(tile, q, keys, values), std::vector<float>(16, 3.0f));
}

TEST_F(AttentionKernel, EqualScoresAverageTheValuesExactly) {
  const AttentionTile tile = tile_of(1, 1, 16, 1023);
  std::vector<float> q(16, 0.0f), keys(1024 * 16, 1.0f), values(1024 * 16);
  for (size_t p = 0; p < 1024; ++p)
    std::fill_n(values.begin() + static_cast<int64_t>(p) * 16, 16, p % 2 == 0 ? 1.0f : 3.0f);
  EXPECT_EQ(attend(tile, q, keys, values), std::vector<float>(16, 2.0f));
}

}  // namespace
}  // namespace glmoe::kernels
