#include "artifact/materialise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "support/synthetic_source.h"

namespace glmoe {
namespace {

using glmoe::testing::error_of;
using glmoe::testing::small_config;
using glmoe::testing::synthetic_source;
using ::testing::HasSubstr;

// Puts pieces together again and notes their order.
class GatheringSink final : public BlobSink {
 public:
  explicit GatheringSink(const std::vector<RankBlob>& blobs) : bytes(blobs.size()) {
    for (size_t b = 0; b < blobs.size(); ++b) bytes[b].resize(blobs[b].num_bytes());
  }
  bool has(size_t blob, uint64_t offset) const override {
    return present.count({blob, offset}) != 0;
  }
  void write(size_t blob, uint64_t offset, std::span<const std::byte> piece) override {
    const std::lock_guard lock(mutex_);
    in_order = in_order && offset == written[blob];
    written[blob] = offset + piece.size();
    largest = std::max(largest, piece.size());
    ++num_pieces;
    std::copy(piece.begin(), piece.end(),
              bytes[blob].begin() + static_cast<std::ptrdiff_t>(offset));
  }
  std::vector<std::vector<std::byte>> bytes;
  std::map<size_t, uint64_t> written;
  std::set<std::pair<size_t, uint64_t>> present;
  size_t largest = 0, num_pieces = 0;
  bool in_order = true;

 private:
  std::mutex mutex_;
};

class Materialise : public ::testing::Test {
 protected:
  Materialise() {
    mapping_.tp_size = 4;
    mapping_ = mapping_.resolved();
    blobs_ = list_rank_blobs(source_.plan, mapping_, DType::kBF16);
  }
  TensorSource source_ = synthetic_source(small_config(), DType::kBF16);
  Mapping mapping_;
  std::vector<RankBlob> blobs_;
  ThreadTeam team_{2};
};

TEST_F(Materialise, SmallPiecesGiveTheSameAsLargeOnes) {
  GatheringSink large(blobs_), small(blobs_);
  materialise(source_, blobs_, mapping_, large, team_, {}, {});
  materialise(source_, blobs_, mapping_, small, team_, {100, true}, {});
  EXPECT_EQ(large.bytes, small.bytes);
  EXPECT_EQ(large.num_pieces, blobs_.size());
  EXPECT_GT(small.num_pieces, 2 * blobs_.size());
  EXPECT_LE(small.largest, 128u);  // the longest row, 32 numbers of F32, is above 100 bytes
  EXPECT_TRUE(small.in_order);
}

TEST_F(Materialise, PiecesThatAreThereAreLeftOut) {
  GatheringSink all(blobs_), rest(blobs_);
  materialise(source_, blobs_, mapping_, all, team_, {}, {});
  rest.present = {{0, 0}, {5, 0}};
  uint64_t last = 0, total = 0;
  materialise(source_, blobs_, mapping_, rest, team_, {},
              [&](uint64_t done, uint64_t of, const std::string&) {
                EXPECT_GT(done, last);
                last = done;
                total = of;
              });
  EXPECT_EQ(rest.num_pieces + 2, all.num_pieces);
  EXPECT_EQ(last, total);  // what was there counts as done
}

TEST_F(Materialise, PaddingIsZero) {
  GatheringSink sink(blobs_);
  materialise(source_, blobs_, mapping_, sink, team_, {}, {});
  for (size_t b = 0; b < blobs_.size(); ++b) {
    if (blobs_[b].rank != 3 || blobs_[b].name != "lm_head.weight") continue;
    ASSERT_EQ(blobs_[b].shape, (Shape{10, 16}));  // 37 rows: 10, 10, 10 and 7
    for (size_t i = 7 * 16 * 2; i < 10 * 16 * 2; ++i) EXPECT_EQ(sink.bytes[b][i], std::byte{0});
    EXPECT_NE(sink.bytes[b][7 * 16 * 2 - 1], std::byte{0});
  }
}

TEST_F(Materialise, AnExceptionFromTheProgressEndsTheWork) {
  GatheringSink sink(blobs_);
  int calls = 0;
  EXPECT_THAT(error_of([&] {
                materialise(source_, blobs_, mapping_, sink, team_, {},
                            [&](uint64_t, uint64_t, const std::string&) {
                              if (++calls >= 3) throw std::runtime_error("enough");
                            });
              }),
              HasSubstr("enough"));
  EXPECT_LT(sink.num_pieces, 10u);
}

TEST_F(Materialise, MemoryLimitsBoundThePiece) {
  EXPECT_EQ(piece_bytes_within(0, 2, blobs_), MaterialiseOptions{}.piece_bytes);
  EXPECT_EQ(piece_bytes_within(6 << 20, 2, blobs_), uint64_t{1} << 20);
  EXPECT_THAT(error_of([&] { piece_bytes_within(1000, 2, blobs_); }), HasSubstr("max_host_memory"));
}

}  // namespace
}  // namespace glmoe
