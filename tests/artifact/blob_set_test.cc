#include "artifact/blob_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "glmoe/error.h"
#include "support/synthetic_source.h"

namespace glmoe {
namespace {

using glmoe::testing::first_difference;
using glmoe::testing::small_config;
using glmoe::testing::synthetic_source;
using ::testing::AllOf;
using ::testing::HasSubstr;

class LoadToMemory : public ::testing::Test {
 protected:
  // Bytes of the buffer: every tensor begins at a page.
  uint64_t needed(const TensorSource& source) const {
    uint64_t bytes = 0;
    for (const RankBlob& blob : list_rank_blobs(source.plan, Mapping{}.resolved(), source.dtype)) {
      bytes += (blob.num_bytes() + 4095) / 4096 * 4096;
    }
    return bytes;
  }
  TensorSource source_ = synthetic_source(small_config(), DType::kBF16);
  ThreadTeam team_{2};
};

TEST_F(LoadToMemory, GivesEveryTensorAPlaceOfItsOwnAtAPage) {
  const BlobSet set = load_to_memory(source_, DType::kBF16, team_);
  ASSERT_EQ(set.tensors.size(), source_.plan.tensors.size());
  std::map<uintptr_t, uintptr_t> places;  // begin -> end
  size_t num_bytes = 0;
  for (const auto& [name, view] : set.tensors) {
    const auto begin = reinterpret_cast<uintptr_t>(view.data);
    EXPECT_EQ(begin % 4096, 0u) << name;
    EXPECT_TRUE(places.emplace(begin, begin + view.num_bytes()).second) << name;
    num_bytes += view.num_bytes();
  }
  uintptr_t last_end = 0;
  for (const auto& [begin, end] : places) {
    EXPECT_GE(begin, last_end);
    last_end = end;
  }
  EXPECT_EQ(set.num_bytes, num_bytes);
}

TEST_F(LoadToMemory, LeavesMtpLayersOutWhereToldSo) {
  const BlobSet whole = load_to_memory(source_, DType::kBF16, team_);
  BlobSet trunk = load_to_memory(source_, DType::kBF16, team_, {.include_mtp = false});
  EXPECT_EQ(whole.config.num_nextn_predict_layers, 1);
  EXPECT_EQ(trunk.config.num_nextn_predict_layers, 0);
  EXPECT_EQ(trunk.tensors.count("transformer.mtp.0.eh_proj.weight"), 0u);
  std::map<std::string, TensorView> rest = whole.tensors;
  size_t mtp_bytes = 0;
  for (auto it = rest.begin(); it != rest.end();) {
    const bool mtp = it->first.starts_with("transformer.mtp.");
    if (mtp) mtp_bytes += it->second.num_bytes();
    it = mtp ? rest.erase(it) : std::next(it);
  }
  EXPECT_GT(mtp_bytes, 0u);
  EXPECT_EQ(first_difference(trunk.tensors, rest), "");
  EXPECT_EQ(trunk.num_bytes + mtp_bytes, whole.num_bytes);
}

TEST_F(LoadToMemory, WhatDoesNotFitIsRefusedBeforeAnythingIsRead) {
  const uint64_t bytes = needed(source_);
  bool read = false;
  MemoryLoadOptions options{.available_bytes = bytes - 1};
  options.progress = [&](uint64_t, uint64_t, const std::string&) { read = true; };
  try {
    load_to_memory(source_, DType::kBF16, team_, options);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(source_.folder), HasSubstr(std::to_string(bytes)),
                                    HasSubstr(std::to_string(bytes - 1))));
  }
  EXPECT_FALSE(read);
  options.available_bytes = bytes;
  EXPECT_NO_THROW(load_to_memory(source_, DType::kBF16, team_, options));
  EXPECT_TRUE(read);
}

TEST_F(LoadToMemory, WhatIsLeftOutNeedsNoRoom) {
  const uint64_t trunk = needed(without_mtp(source_));
  EXPECT_LT(trunk, needed(source_));
  EXPECT_NO_THROW(load_to_memory(source_, DType::kBF16, team_,
                                 {.include_mtp = false, .available_bytes = trunk}));
  EXPECT_THROW(load_to_memory(source_, DType::kBF16, team_, {.available_bytes = trunk}), Error);
  // A wider type needs more.
  EXPECT_THROW(
      load_to_memory(source_, DType::kF32, team_, {.include_mtp = false, .available_bytes = trunk}),
      Error);
}

}  // namespace
}  // namespace glmoe
