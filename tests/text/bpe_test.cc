// Byte-pair encoding against a reference that merges the slow, obvious way.
#include "text/bpe.h"

#include <gtest/gtest.h>

#include <map>

#include "base/file.h"
#include "base/rng.h"
#include "text/byte_level.h"

namespace glmoe {
namespace {

class BpeTest : public ::testing::Test {
 protected:
  BpeTest() {
    const ByteAlphabet alphabet;
    for (size_t i = 0; i + 1 < file_.merges.size(); i += 2) {
      std::string left, right;
      EXPECT_TRUE(alphabet.append_bytes(file_.merges[i], left));
      EXPECT_TRUE(alphabet.append_bytes(file_.merges[i + 1], right));
      rank_.emplace(std::pair(left, right), i);
    }
  }
  // Again and again the leftmost pair of the lowest rank.
  std::vector<std::string> merged(const std::string& piece) const {
    std::vector<std::string> parts;
    for (const char c : piece) parts.emplace_back(1, c);
    while (true) {
      size_t best = parts.size(), best_rank = SIZE_MAX;
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto it = rank_.find({parts[i], parts[i + 1]});
        if (it == rank_.end() || it->second >= best_rank) continue;
        best = i;
        best_rank = it->second;
      }
      if (best == parts.size()) return parts;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
  }
  static std::vector<std::string> encoded(const Bpe& bpe, const std::string& piece) {
    BpeScratch scratch;
    std::vector<int32_t> ids;
    bpe.encode(piece, scratch, ids);
    std::vector<std::string> parts;
    for (const int32_t id : ids) parts.emplace_back(bpe.bytes_of(id));
    return parts;
  }
  const TokenizerFile file_ =
      parse_tokenizer_json(read_text_file(GLMOE_TEST_DATA "/text/small_tokenizer.json"), "small");
  std::map<std::pair<std::string, std::string>, size_t> rank_;
};

TEST_F(BpeTest, MergesRandomPiecesLikeTheObviousWay) {
  const Bpe bpe(file_, false);
  const std::string letters = "aaeelsthnrio =-\xE6\xBC\xA2\xE5\xAD\x97\xCC\x81";
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    std::string piece;  // on both sides of the border between the short and the long way
    const uint64_t length = 1 + seed % 80;
    const double variety = seed % 3 == 0 ? 3.0 : static_cast<double>(letters.size());
    for (uint64_t i = 0; i < length; ++i) {
      piece += letters[static_cast<size_t>(random_uniform(seed, 0, i) * variety)];
    }
    ASSERT_EQ(encoded(bpe, piece), merged(piece)) << "seed " << seed;
  }
}

TEST_F(BpeTest, TakesAWholePieceFromTheVocabularyOnlyWithIgnoreMerges) {
  EXPECT_EQ(encoded(Bpe(file_, true), " zyzzyva"), std::vector<std::string>{" zyzzyva"});
  EXPECT_EQ(encoded(Bpe(file_, false), " zyzzyva"), merged(" zyzzyva"));
  EXPECT_GT(merged(" zyzzyva").size(), 1u);
}

TEST_F(BpeTest, EncodesALongRunInTimeAboutProportionalToItsLength) {
  const Bpe bpe(file_, false);
  const auto parts = encoded(bpe, std::string(1'000'000, 'a'));  // quadratic: minutes
  size_t bytes = 0;
  for (const std::string& part : parts) bytes += part.size();
  EXPECT_EQ(bytes, 1'000'000u);
}

TEST_F(BpeTest, FindsEveryTokenByItsBytes) {
  const Bpe bpe(file_, false);
  for (const int32_t id : file_.vocab_ids) {
    EXPECT_TRUE(bpe.has(id));
    EXPECT_EQ(bpe.find(bpe.bytes_of(id)), id);
  }
  EXPECT_FALSE(bpe.has(-1));
  EXPECT_FALSE(bpe.has(static_cast<int32_t>(bpe.end_id())));
}

}  // namespace
}  // namespace glmoe
