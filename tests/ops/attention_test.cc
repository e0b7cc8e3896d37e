#include "ops/attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "glmoe/error.h"
#include "kernels/cpu/target.h"
#include "ops/ref/attention_ref.h"
#include "ops/ref/rope_ref.h"
#include "support/compare.h"
#include "support/op_fixture.h"

namespace glmoe {
namespace {

using testing::all_close;
using testing::matrix_view;
using testing::OpEnvironment;
using testing::random_floats;
using testing::same_bits;

constexpr double kTheta = 1e6;

// A paged cache whose unused places are NaN, and block tables that jump about in it.
struct Cache {
  Cache(const AttentionShape& s, DType type, int64_t blocks) : shape(s), dtype(type) {
    const int64_t width = 2 * s.num_kv_heads * s.tokens_per_block * s.head_dim;
    const std::vector<float> nans(static_cast<size_t>(width * blocks),
                                  std::numeric_limits<float>::quiet_NaN());
    memory.resize(nans.size() * dtype_size(type));
    convert_elements(nans.data(), DType::kF32, memory.data(), type, nans.size());
    view.blocks = {.data = memory.data(), .dtype = type, .shape = Shape{blocks, width}};
    free.resize(static_cast<size_t>(blocks));
    std::iota(free.begin(), free.end(), 0);
    for (size_t i = 0; i < free.size(); ++i) {  // a fixed shuffle
      std::swap(free[i], free[random_bits(7, 0, i) % free.size()]);
    }
  }
  std::vector<int32_t> take(int64_t num_tokens) {
    std::vector<int32_t> table;
    for (int64_t p = 0; p < num_tokens; p += shape.tokens_per_block) {
      table.push_back(free.back());
      free.pop_back();
    }
    return table;
  }
  AttentionShape shape;
  DType dtype;
  std::vector<std::byte> memory;
  KvLayerView view;
  std::vector<int32_t> free;
};

int64_t qkv_width(const AttentionShape& s) {
  return (s.num_heads + 2 * s.num_kv_heads) * s.head_dim;
}

// Runs one sequence's rows [0, T) through rope, cache and attention in the given chunks, each
// chunk beside rows of a stranger; returns out [T, Hq * D].
std::vector<float> run_chunked(const AttentionShape& shape, DType dtype,
                               const std::vector<float>& qkv, int64_t chunk, int threads,
                               bool with_stranger, const RopeTable& rope) {
  OpEnvironment env(threads);
  const int64_t width = qkv_width(shape), out_width = shape.num_heads * shape.head_dim;
  const int64_t num_rows = static_cast<int64_t>(qkv.size()) / width;
  Cache cache(shape, dtype, 2 * (num_rows / shape.tokens_per_block + 2) + 8);
  const auto table = cache.take(num_rows);
  const auto other = cache.take(num_rows + 3);
  const auto gamma = random_floats(shape.head_dim, 21);
  std::vector<float> out(static_cast<size_t>(num_rows * out_width));
  for (int64_t begin = 0; begin < num_rows; begin += chunk) {
    const int64_t rows = std::min(chunk, num_rows - begin);
    const int64_t before = with_stranger ? 3 : 0;
    auto batch = random_floats(before * width, 99);
    batch.insert(batch.end(), qkv.begin() + begin * width, qkv.begin() + (begin + rows) * width);
    std::vector<AttentionSequence> sequences;
    if (before > 0) sequences.push_back({0, before, 0, other});
    sequences.push_back({before, rows, begin, table});
    std::vector<float> result(static_cast<size_t>((before + rows) * out_width));
    const TensorView view = matrix_view(batch, before + rows, width);
    rope_and_write_kv(env.context(), view, shape, sequences, rope, gamma, gamma, 1e-5f, cache.view);
    paged_attention(env.context(), view, shape, sequences, cache.view,
                    matrix_view(result, before + rows, out_width));
    std::copy(result.begin() + before * out_width, result.end(), out.begin() + begin * out_width);
  }
  return out;
}

struct AttentionCase {
  const char* name;
  int64_t heads, kv_heads, dim, page, context, rows;  // the last `rows` of `context` are queries
  DType dtype;
  float scale = 1.0f;
};

// Whether attention takes its products from bfloat16 numbers (docs/kernels/cpu-attention.md).
bool computes_in_bf16(DType dtype, int64_t dim) {
  return dtype == DType::kBF16 && dim % 32 == 0 && cpu_target() == CpuTarget::kAvx512Bf16;
}

class AttentionCases : public ::testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionCases, MatchTheReference) {
  const AttentionCase c = GetParam();
  const AttentionShape shape{c.heads, c.kv_heads, c.dim, c.page};
  OpEnvironment env(3);
  Cache cache(shape, c.dtype, c.context / c.page + 4);
  const auto table = cache.take(c.context);
  const int64_t width = qkv_width(shape), out_width = c.heads * c.dim;
  auto all = random_floats(c.context * width, 31, c.scale);
  const RopeTable rope(c.context, 0, kTheta);  // no rotation: this is about attention alone
  const std::vector<AttentionSequence> everything{{0, c.context, 0, table}};
  rope_and_write_kv(env.context(), matrix_view(all, c.context, width), shape, everything, rope, {},
                    {}, 0.0f, cache.view);

  const std::vector<AttentionSequence> tail{{0, c.rows, c.context - c.rows, table}};
  std::vector<float> queries(all.end() - c.rows * width, all.end());
  std::vector<float> found(static_cast<size_t>(c.rows * out_width)), wanted(found.size());
  paged_attention(env.context(), matrix_view(queries, c.rows, width), shape, tail, cache.view,
                  matrix_view(found, c.rows, out_width));
  // Where the products are of bfloat16 numbers a weight is off by at most 2^-9 of itself, so what
  // is weighed by at most 2^-9 of the largest value. Queries keep 16 bits, which puts a score off
  // by 2^-17 of the sum of its products' magnitudes, and every weight by twice that.
  double of_rounding = 0.0;
  if (computes_in_bf16(c.dtype, c.dim)) {
    const double score = 0x1p-17 * c.scale * c.scale * std::sqrt(static_cast<double>(c.dim));
    of_rounding = (0x1p-9 + 2 * score) * c.scale;
  }
  ref::paged_attention(matrix_view(queries, c.rows, width), shape, tail, cache.view,
                       matrix_view(wanted, c.rows, out_width));
  EXPECT_TRUE(all_close(found, wanted,
                        {.absolute = of_rounding + 2e-6 * c.scale,
                         .relative = 2e-5,
                         .cosine = of_rounding > 0.0 ? 0x1p-17 : 1e-9,
                         .row_length = out_width}));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, AttentionCases,
    ::testing::Values(AttentionCase{"OneToken", 1, 1, 1, 1, 1, 1, DType::kF32},
                      AttentionCase{"OneLess", 4, 2, 8, 16, 63, 63, DType::kF32},
                      AttentionCase{"OneTile", 4, 2, 32, 16, 64, 64, DType::kBF16},
                      AttentionCase{"OneMore", 4, 1, 48, 16, 65, 65, DType::kF16},
                      AttentionCase{"OddDims", 6, 2, 13, 3, 130, 20, DType::kBF16},
                      AttentionCase{"OddDimsF16", 5, 1, 19, 8, 70, 3, DType::kF16},
                      AttentionCase{"NoGroups", 3, 3, 24, 32, 200, 40, DType::kF32},
                      AttentionCase{"SixteenAHead", 16, 1, 128, 64, 129, 9, DType::kBF16},
                      AttentionCase{"GlmDecode", 24, 2, 128, 16, 1000, 1, DType::kBF16},
                      AttentionCase{"GlmPrefill", 12, 1, 128, 16, 160, 160, DType::kBF16},
                      AttentionCase{"LongDecode", 12, 1, 64, 32, 4095, 1, DType::kF16},
                      AttentionCase{"LongDecodeBf16", 25, 1, 128, 64, 4094, 2, DType::kBF16},
                      AttentionCase{"NarrowHeadsBf16", 7, 7, 32, 16, 700, 67, DType::kBF16},
                      AttentionCase{"LongChunk", 2, 1, 16, 16, 1500, 30, DType::kF32},
                      AttentionCase{"SplitEdge", 2, 1, 16, 16, 513, 2, DType::kF32},
                      AttentionCase{"LargeNumbers", 4, 2, 32, 16, 600, 5, DType::kF32, 300.0f}),
    [](const auto& test) { return test.param.name; });

TEST(Attention, APromptInAnyChunksGivesTheSameBits) {
  for (const auto& [page, dim] : {std::pair{1, 32}, std::pair{8, 32}, std::pair{16, 128},
                                  std::pair{32, 96}, std::pair{64, 48}}) {
    const AttentionShape shape{12, 2, dim, page};
    const RopeTable rope(1000, 16, kTheta);
    const auto qkv = random_floats(200 * qkv_width(shape), 41);
    const auto whole = run_chunked(shape, DType::kBF16, qkv, 200, 1, false, rope);
    for (const int64_t chunk : {1, 7, 64, 199, 200}) {
      EXPECT_TRUE(same_bits(run_chunked(shape, DType::kBF16, qkv, chunk, 2, true, rope), whole,
                            shape.num_heads * shape.head_dim))
          << "page " << page << ", chunk " << chunk;
    }
  }
}

TEST(Attention, AContextOfSeveralSplitsGivesTheSameBitsInAnyChunks) {
  const RopeTable rope(2000, 20, kTheta);
  for (const auto& [heads, kv_heads] : {std::pair{3, 3}, std::pair{5, 1}}) {
    const AttentionShape shape{heads, kv_heads, 20, 16};
    for (const auto& [num_rows, chunk] : {std::pair{540, 1}, std::pair{1100, 37}}) {
      const auto qkv = random_floats(num_rows * qkv_width(shape), 43);
      const auto whole = run_chunked(shape, DType::kF32, qkv, num_rows, 1, false, rope);
      EXPECT_TRUE(
          same_bits(run_chunked(shape, DType::kF32, qkv, chunk, 3, true, rope), whole, heads * 20))
          << heads << " heads, chunk " << chunk;
    }
  }
}

TEST(Attention, BlocksOfAnySizeGiveTheSameBits) {
  const RopeTable rope(1000, 32, kTheta);
  std::vector<float> first;
  for (const int64_t page : {1, 3, 8, 16, 64, 512}) {
    const AttentionShape shape{4, 1, 32, page};
    const auto out = run_chunked(shape, DType::kF16, random_floats(150 * qkv_width(shape), 5), 50,
                                 2, false, rope);
    if (first.empty()) first = out;
    EXPECT_TRUE(same_bits(out, first)) << "page " << page;
  }
}

TEST(Attention, ALaterTokenCannotTouchAnEarlierOneNotEvenWithNan) {
  for (const auto& [dtype, dim] : {std::pair{DType::kF32, 16}, std::pair{DType::kBF16, 64}}) {
    for (const int64_t group : {1, 4, 12}) {
      for (const int64_t bad : {25, 26}) {  // beside an earlier key in a pair, and not
        const AttentionShape shape{group, 1, dim, 16};
        const RopeTable rope(100, dim, kTheta);
        const int64_t width = qkv_width(shape);
        auto qkv = random_floats(40 * width, 9);
        const auto healthy = run_chunked(shape, dtype, qkv, 40, 1, false, rope);
        std::fill(qkv.begin() + bad * width, qkv.begin() + (bad + 1) * width,
                  std::numeric_limits<float>::quiet_NaN());
        const auto broken = run_chunked(shape, dtype, qkv, 40, 1, false, rope);
        const auto before = static_cast<size_t>(bad * group * dim);
        EXPECT_TRUE(same_bits(std::span(broken).first(before), std::span(healthy).first(before)))
            << dtype_name(dtype) << ", group " << group << ", token " << bad;
        EXPECT_TRUE(std::isnan(broken[before])) << "the broken token itself must show";
      }
    }
  }
}

TEST(Attention, EmptySequencesAndBatchesAreFine) {
  const AttentionShape shape{2, 1, 8, 16};
  OpEnvironment env;
  Cache cache(shape, DType::kF32, 4);
  std::vector<float> qkv, out;
  const RopeTable rope(10, 8, kTheta);
  const std::vector<AttentionSequence> sequences{{0, 0, 0, {}}};
  for (const auto& some : {std::span<const AttentionSequence>(), std::span(sequences)}) {
    rope_and_write_kv(env.context(), matrix_view(qkv, 0, 32), shape, some, rope, {}, {}, 0.0f,
                      cache.view);
    paged_attention(env.context(), matrix_view(qkv, 0, 32), shape, some, cache.view,
                    matrix_view(out, 0, 16));
  }
}

TEST(Attention, ABlockTableThatIsTooShortIsRefused) {
  const AttentionShape shape{2, 1, 8, 16};
  OpEnvironment env;
  Cache cache(shape, DType::kF32, 4);
  std::vector<float> qkv(32), out(16);
  const std::vector<int32_t> table{0};
  const std::vector<AttentionSequence> sequences{{0, 1, 16, table}};
  try {
    paged_attention(env.context(), matrix_view(qkv, 1, 32), shape, sequences, cache.view,
                    matrix_view(out, 1, 16));
    FAIL() << "position 16 was read from one block of 16";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("wanted 2, found 1"));
  }
}

TEST(Rope, MatchesTheReferenceInRegistersAndInTheCache) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const auto& [dim, rotary] : {std::pair{128, 64}, std::pair{32, 32}, std::pair{48, 24},
                                      std::pair{5, 2}, std::pair{7, 0}}) {
      const AttentionShape shape{6, 2, dim, 8};
      OpEnvironment env;
      Cache found(shape, dtype, 16), wanted(shape, dtype, 16);
      const auto table = found.take(40);
      const std::vector<AttentionSequence> sequences{{0, 19, 13, table}};
      auto qkv = random_floats(19 * qkv_width(shape), 3);
      auto reference = qkv;
      const auto q_norm = random_floats(dim, 4), k_norm = random_floats(dim, 5);
      const RopeTable rope(64, rotary, kTheta);
      rope_and_write_kv(env.context(), matrix_view(qkv, 19, qkv_width(shape)), shape, sequences,
                        rope, q_norm, k_norm, 1e-5f, found.view);
      ref::rope_and_write_kv(matrix_view(reference, 19, qkv_width(shape)), shape, sequences, rotary,
                             kTheta, q_norm, k_norm, 1e-5f, wanted.view);
      EXPECT_TRUE(all_close(qkv, reference, {.absolute = 1e-6, .relative = 2e-6}));
      const size_t count = found.memory.size() / dtype_size(dtype);
      std::vector<float> a(count), b(count);
      convert_elements(found.memory.data(), dtype, a.data(), DType::kF32, count);
      convert_elements(wanted.memory.data(), dtype, b.data(), DType::kF32, count);
      // Where the last bits differ before rounding the stored value may be one step away.
      const double step = dtype == DType::kBF16 ? 0x1p-7 : dtype == DType::kF16 ? 0x1p-10 : 2e-6;
      EXPECT_TRUE(all_close(a, b, {.absolute = 1e-6, .relative = step})) << dtype_name(dtype);
    }
  }
}

TEST(RopeTable, HoldsCosinesAndSinesOfFarPositions) {
  const RopeTable rope(202752, 64, kTheta);
  for (const int64_t position : {0, 1, 15, 16, 4095, 131072, 202751}) {
    const auto row = rope.at(position);
    ASSERT_EQ(row.size(), 64u);
    for (size_t i = 0; i < 32; ++i) {
      const double angle =
          static_cast<double>(position) * std::pow(kTheta, -2.0 * static_cast<double>(i) / 64.0);
      EXPECT_FLOAT_EQ(row[i], static_cast<float>(std::cos(angle)));
      EXPECT_FLOAT_EQ(row[32 + i], static_cast<float>(std::sin(angle)));
    }
  }
  EXPECT_THROW(rope.at(202752), Error);
  EXPECT_THROW(rope.at(-1), Error);
}

TEST(RopeTable, ManyThreadsMayAskAtOnce) {
  const RopeTable rope(4096, 32, kTheta), wanted(4096, 32, kTheta);
  ThreadTeam team(4);
  team.run([&](int) {
    for (int64_t p = 0; p < 4096; ++p) rope.at(p);
  });
  for (int64_t p = 0; p < 4096; ++p) EXPECT_TRUE(same_bits(rope.at(p), wanted.at(p)));
}

}  // namespace
}  // namespace glmoe
