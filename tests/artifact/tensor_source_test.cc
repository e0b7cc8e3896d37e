#include "artifact/tensor_source.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "glmoe/error.h"
#include "support/synthetic_source.h"

namespace glmoe {
namespace {

using glmoe::testing::error_of;
using glmoe::testing::small_config;
using glmoe::testing::synthetic_source;
using ::testing::AllOf;
using ::testing::HasSubstr;

// world_size 0 puts the expert groups inside the tensor-parallel ones.
Mapping mapping_of(int64_t tp, int64_t pp, int64_t ep, int64_t world_size = 0) {
  Mapping mapping;
  mapping.world_size = world_size;
  mapping.tp_size = tp;
  mapping.pp_size = pp;
  mapping.ep_size = ep;
  return mapping.resolved();
}

// A tensor as every rank holds it, filled from the source.
struct RankMemory {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<TensorView> views;
};

RankMemory fill_ranks(const TensorSource& source, size_t t, const Mapping& mapping, int64_t step) {
  const LogicalTensor& tensor = source.plan.tensors[t];
  RankMemory memory;
  memory.bytes.resize(static_cast<size_t>(mapping.world_size));
  for (int64_t rank = 0; rank < mapping.world_size; ++rank) {
    const Mapping here = mapping.at_rank(rank);
    const Shape shape = source.plan.rank_shape(tensor, here);
    if (shape.rank() == 0) {
      memory.views.emplace_back();
      continue;
    }
    const DType dtype = stored_dtype(tensor, source.dtype);
    const size_t row_bytes = static_cast<size_t>(matrix_cols(shape)) * dtype_size(dtype);
    auto& bytes = memory.bytes[static_cast<size_t>(rank)];
    bytes.resize(static_cast<size_t>(flat_rows(shape)) * row_bytes);
    for (int64_t row = 0; row < flat_rows(shape); row += step) {
      fill_rows(tensor, source.pieces[t], source.plan.rank_slices(tensor, here), shape, dtype, row,
                std::min(flat_rows(shape), row + step),
                bytes.data() + static_cast<size_t>(row) * row_bytes);
    }
    memory.views.push_back({bytes.data(), dtype, shape});
  }
  return memory;
}

class Sources : public ::testing::TestWithParam<Mapping> {
 protected:
  TensorSource source_ = synthetic_source(small_config(), DType::kBF16);
};

// What several ranks hold must be neither lost nor taken twice.
TEST_P(Sources, PiecesOfRanksCoverEveryElementOnce) {
  for (size_t t = 0; t < source_.plan.tensors.size(); ++t) {
    const LogicalTensor& tensor = source_.plan.tensors[t];
    const RankMemory ranks = fill_ranks(source_, t, GetParam(), 1 << 20);
    const int64_t rows = matrix_rows(tensor.shape), cols = matrix_cols(tensor.shape);
    std::vector<int> covered(static_cast<size_t>(tensor.shape.num_elements()), 0);
    for (const SourcePiece& piece :
         pieces_of_ranks(source_.plan, tensor, GetParam(), ranks.views)) {
      for (int64_t r = piece.row; r < piece.row + piece.num_rows; ++r) {
        for (int64_t c = piece.col; c < piece.col + piece.num_cols; ++c) {
          ++covered.at(static_cast<size_t>((piece.matrix * rows + r) * cols + c));
        }
      }
    }
    EXPECT_EQ(std::count(covered.begin(), covered.end(), 1), static_cast<int64_t>(covered.size()))
        << tensor.name;
  }
}

TEST_P(Sources, RowByRowFillsTheSameAsAllAtOnce) {
  for (size_t t = 0; t < source_.plan.tensors.size(); ++t) {
    const std::string& name = source_.plan.tensors[t].name;
    const auto at_once = fill_ranks(source_, t, GetParam(), 1 << 20).bytes;
    EXPECT_EQ(at_once, fill_ranks(source_, t, GetParam(), 1).bytes) << name;
    EXPECT_EQ(at_once, fill_ranks(source_, t, GetParam(), 5).bytes) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Mappings, Sources,
                         ::testing::Values(mapping_of(1, 1, 1), mapping_of(2, 1, 1),
                                           mapping_of(4, 1, 2), mapping_of(8, 1, 8),
                                           mapping_of(2, 3, 1), mapping_of(2, 1, 4, 8)),
                         [](const auto& test) {
                           const Mapping& mapping = test.param;
                           return fmt::format("Tp{}Pp{}Ep{}World{}", mapping.tp_size,
                                              mapping.pp_size, mapping.ep_size, mapping.world_size);
                         });

TEST(TensorSource, WithoutMtpLosesThoseLayersAndNothingElse) {
  const TensorSource whole = synthetic_source(small_config(), DType::kBF16);
  const TensorSource trunk = without_mtp(whole);
  EXPECT_EQ(trunk.plan.config.num_nextn_predict_layers, 0);
  ASSERT_EQ(trunk.pieces.size(), trunk.plan.tensors.size());
  Glm4MoeConfig config = small_config();
  config.num_nextn_predict_layers = 0;
  const WeightPlan wanted = make_weight_plan(config, false);
  ASSERT_EQ(trunk.plan.tensors.size(), wanted.tensors.size());
  size_t at = 0;  // in the whole, whose order is kept
  for (size_t t = 0; t < wanted.tensors.size(); ++t) {
    EXPECT_EQ(trunk.plan.tensors[t].name, wanted.tensors[t].name);
    while (at < whole.plan.tensors.size() &&
           whole.plan.tensors[at].name != wanted.tensors[t].name) {
      ++at;
    }
    ASSERT_LT(at, whole.plan.tensors.size()) << wanted.tensors[t].name;
    EXPECT_EQ(trunk.pieces[t].front().data, whole.pieces[at].front().data);
  }
  EXPECT_EQ(without_mtp(trunk).plan.tensors.size(), trunk.plan.tensors.size());
}

// One [2, 3] rectangle out of a wider F32 matrix, to float16.
class ToFloat16 : public ::testing::Test {
 protected:
  std::string fill() {
    LogicalTensor tensor;
    tensor.name = "transformer.wide";
    tensor.shape = Shape{2, 3};
    const std::vector<SourcePiece> pieces = {{.data = reinterpret_cast<std::byte*>(source_.data()),
                                              .dtype = DType::kF32,
                                              .stride = 4,
                                              .num_rows = 2,
                                              .num_cols = 3}};
    const std::vector<SliceCopy> slices = {{.num_rows = 2, .num_cols = 3}};
    return error_of([&] {
      fill_rows(tensor, pieces, slices, tensor.shape, DType::kF16, 0, 2,
                reinterpret_cast<std::byte*>(target_.data()));
    });
  }
  std::vector<float> source_ = std::vector<float>(8, 1.0f);
  std::vector<uint16_t> target_ = std::vector<uint16_t>(6, 0);
};

TEST_F(ToFloat16, TheFirstNumberThatRoundsToInfinityIsRefused) {
  source_[6] = -65520.0f;  // halfway from the largest float16 to the next power of two
  EXPECT_THAT(fill(), AllOf(HasSubstr("transformer.wide"), HasSubstr("-65520"),
                            HasSubstr("--dtype bfloat16")));
  source_[6] = std::nextafter(-65520.0f, 0.0f);
  EXPECT_EQ(fill(), "");
  EXPECT_EQ(target_[5], 0xfbff);  // -65504
}

TEST_F(ToFloat16, ColumnsOutsideTheRectangleAreNotLookedAt) {
  source_[3] = source_[7] = 1e30f;
  EXPECT_EQ(fill(), "");
}

TEST_F(ToFloat16, InfinitiesAndNansOfTheSourceStay) {
  source_[1] = -std::numeric_limits<float>::infinity();
  source_[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(fill(), "");
  EXPECT_EQ(target_[1], 0xfc00);
  EXPECT_EQ(target_[2] & 0x7c00, 0x7c00);
  EXPECT_NE(target_[2] & 0x03ff, 0);
}

}  // namespace
}  // namespace glmoe
