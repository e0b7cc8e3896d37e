#include "artifact/rank_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifact/blob_set.h"
#include "support/synthetic_source.h"

namespace glmoe {
namespace {

using glmoe::testing::first_difference;
using glmoe::testing::small_config;
using glmoe::testing::synthetic_source;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Writes pieces straight into blobs that were laid out beforehand.
class BlobsSink final : public BlobSink {
 public:
  explicit BlobsSink(const BlobBuffer& buffer) : buffer_(buffer) {}
  std::byte* memory(size_t blob) override { return buffer_.views[blob].as<std::byte>(); }

 private:
  const BlobBuffer& buffer_;
};

// The small model on four ranks: two pipeline stages of two.
class Ranks : public ::testing::Test {
 protected:
  Ranks() {
    mapping_.tp_size = 2;
    mapping_.pp_size = 2;
    mapping_ = mapping_.resolved();
    const auto blobs = list_rank_blobs(source_.plan, mapping_, DType::kBF16);
    buffer_ = allocate_blobs(blobs, UINT64_MAX, "", "");
    BlobsSink sink(buffer_);
    materialise(source_, blobs, mapping_, sink, team_, {}, {});
    ranks_.resize(4);
    for (size_t b = 0; b < blobs.size(); ++b) {
      ranks_[static_cast<size_t>(blobs[b].rank)][blobs[b].name] = buffer_.views[b];
    }
  }
  std::vector<std::string> reasons(const Glm4MoeConfig& config = small_config()) const {
    std::vector<std::string> found;
    source_from_ranks(config, mapping_, DType::kBF16, ranks_, found);
    return found;
  }

  static constexpr const char* kHeadCopy = "transformer.mtp.0.lm_head.weight";
  ThreadTeam team_{2};
  TensorSource source_ = synthetic_source(small_config(), DType::kBF16);
  Mapping mapping_;
  BlobBuffer buffer_;
  std::vector<RankViews> ranks_;
};

TEST_F(Ranks, AreStitchedToWhatTheyWereCutFrom) {
  std::vector<std::string> none;
  const TensorSource stitched =
      source_from_ranks(small_config(), mapping_, DType::kBF16, ranks_, none);
  EXPECT_THAT(none, IsEmpty());
  EXPECT_EQ(first_difference(load_to_memory(source_, DType::kBF16, team_).tensors,
                             load_to_memory(stitched, DType::kBF16, team_).tensors),
            "");
  EXPECT_EQ(stitched.mapping, mapping_);
}

TEST_F(Ranks, EveryFaultIsNamedWithItsRank) {
  ranks_[1].erase("transformer.layers.0.attention.dense.weight");
  ranks_[2].at("transformer.layers.2.mlp.router.weight").dtype = DType::kBF16;
  ranks_[3].at("transformer.ln_f.weight").shape = Shape{17};
  ranks_[0]["transformer.layers.9.surprise"] = ranks_[0].at("transformer.vocab_embedding.weight");
  EXPECT_THAT(
      reasons(),
      UnorderedElementsAre(
          "rank 1: transformer.layers.0.attention.dense.weight is missing",
          "rank 2: transformer.layers.2.mlp.router.weight: F32 [8, 16] was wanted, found BF16 "
          "[8, 16]",
          "rank 3: transformer.ln_f.weight: F32 [16] was wanted, found F32 [17]",
          "rank 0: transformer.layers.9.surprise is not part of this model"));
}

// Right name, wrong rank: left over there, although other ranks hold it rightly.
TEST_F(Ranks, ATensorOfAnotherStageDoesNotBelong) {
  ranks_[0]["transformer.ln_f.weight"] = ranks_[2].at("transformer.ln_f.weight");
  EXPECT_THAT(reasons(), ElementsAre("rank 0: transformer.ln_f.weight is not part of this model"));
}

TEST_F(Ranks, CopiesOfTheMtpLayerMayBeAbsentEverywhereButNotInPart) {
  size_t holders = 0;
  for (RankViews& rank : ranks_) holders += rank.count(kHeadCopy);
  ASSERT_EQ(holders, 2u);  // both ranks of the last stage
  std::vector<RankViews> all = ranks_;
  ranks_[2].erase(kHeadCopy);
  EXPECT_THAT(reasons(), ElementsAre(std::string("rank 2: ") + kHeadCopy + " is missing"));
  ranks_[3].erase(kHeadCopy);
  EXPECT_THAT(reasons(), IsEmpty());
  // Anything else of that layer may not.
  for (RankViews& rank : ranks_) rank.erase("transformer.mtp.0.eh_proj.weight");
  EXPECT_THAT(reasons(), ::testing::Each(HasSubstr("eh_proj.weight is missing")));
  EXPECT_EQ(reasons().size(), 2u);
}

TEST_F(Ranks, AConfigurationWithoutMtpLeavesItsTensorsOver) {
  Glm4MoeConfig config = small_config();
  config.num_nextn_predict_layers = 0;
  const auto found = reasons(config);
  EXPECT_FALSE(found.empty());
  EXPECT_THAT(found, ::testing::Each(::testing::AllOf(HasSubstr("transformer.mtp.0."),
                                                      HasSubstr("is not part of this model"))));
}

}  // namespace
}  // namespace glmoe
