#include "cache/block_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "glmoe/error.h"

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BlockManager, GivesABlockForEachStartedGroupOfTokens) {
  BlockManager blocks(8, 4);
  EXPECT_TRUE(blocks.reserve(1, 1));
  EXPECT_THAT(blocks.table(1), ElementsAre(0));
  EXPECT_TRUE(blocks.reserve(1, 4));
  EXPECT_THAT(blocks.table(1), ElementsAre(0));
  EXPECT_TRUE(blocks.reserve(1, 5));
  EXPECT_THAT(blocks.table(1), ElementsAre(0, 1));
  EXPECT_EQ(blocks.num_free(), 6);
  EXPECT_EQ(blocks.blocks_for(0), 0);
  EXPECT_EQ(blocks.blocks_for(8), 2);
  EXPECT_EQ(blocks.blocks_for(9), 3);
}

TEST(BlockManager, RefusesWithoutChangingAnythingWhenTooFewAreFree) {
  BlockManager blocks(4, 4);
  ASSERT_TRUE(blocks.reserve(1, 8));
  EXPECT_FALSE(blocks.reserve(2, 12));
  EXPECT_EQ(blocks.num_free(), 2);
  EXPECT_THAT(blocks.table(2), IsEmpty());
  EXPECT_FALSE(blocks.reserve(1, 20));
  EXPECT_THAT(blocks.table(1), ElementsAre(0, 1));
  EXPECT_TRUE(blocks.reserve(2, 8));
  EXPECT_EQ(blocks.num_free(), 0);
  blocks.check();
}

TEST(BlockManager, AsksForAnImpossibleLengthAreRefusedWithoutOverflow) {
  BlockManager blocks(4, 1);
  EXPECT_FALSE(blocks.reserve(1, INT64_MAX));
  EXPECT_EQ(blocks.num_free(), 4);
}

TEST(BlockManager, NeverShrinksATable) {
  BlockManager blocks(4, 4);
  ASSERT_TRUE(blocks.reserve(1, 16));
  EXPECT_TRUE(blocks.reserve(1, 1));
  EXPECT_EQ(blocks.table(1).size(), 4u);
}

TEST(BlockManager, TakesBlocksBackAndForgetsUnknownSequencesQuietly) {
  BlockManager blocks(4, 4);
  ASSERT_TRUE(blocks.reserve(1, 16));
  blocks.release(7);
  blocks.release(1);
  blocks.release(1);
  EXPECT_EQ(blocks.num_free(), 4);
  EXPECT_THAT(blocks.table(1), IsEmpty());
  ASSERT_TRUE(blocks.reserve(2, 8));
  EXPECT_THAT(blocks.table(2), ElementsAre(0, 1));
}

TEST(BlockManager, RefusesToBeBuiltWithoutBlocks) {
  EXPECT_THROW(BlockManager(0, 16), Error);
  EXPECT_THROW(BlockManager(4, 0), Error);
  EXPECT_THROW(BlockManager(int64_t{1} << 31, 16), Error);
}

// Any order of reserve and release: every block is free or owned exactly once, refusals happen
// exactly when too few are free, and nothing is lost at the end.
TEST(BlockManager, LosesAndDoublesNoBlockUnderRandomUse) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    const int64_t num_blocks = 1 + random() % 40;
    const int64_t tokens_per_block = 1 + random() % 20;
    BlockManager blocks(num_blocks, tokens_per_block);
    std::map<SequenceId, std::vector<int32_t>> held;
    for (int step = 0; step < 400; ++step) {
      const SequenceId id = random() % 12;
      if (random() % 4 == 0) {
        blocks.release(id);
        held.erase(id);
      } else {
        const int64_t tokens = random() % 200;
        const int64_t wanted = blocks.blocks_for(tokens);
        const auto before = static_cast<int64_t>(held[id].size());
        const bool fits = wanted - before <= blocks.num_free();
        ASSERT_EQ(blocks.reserve(id, tokens), fits);
        const std::vector<int32_t> table = blocks.table(id);
        ASSERT_EQ(static_cast<int64_t>(table.size()), fits ? std::max(before, wanted) : before);
        // What was there stays where it was: its KV is already written.
        ASSERT_TRUE(std::equal(held[id].begin(), held[id].end(), table.begin()));
        held[id] = table;
      }
      std::set<int32_t> owned;
      size_t count = 0;
      for (const auto& [owner, table] : held) {
        owned.insert(table.begin(), table.end());
        count += table.size();
      }
      ASSERT_EQ(owned.size(), count);
      ASSERT_EQ(blocks.num_free(), num_blocks - static_cast<int64_t>(count));
      ASSERT_NO_THROW(blocks.check());
    }
    for (SequenceId id = 0; id < 12; ++id) blocks.release(id);
    EXPECT_EQ(blocks.num_free(), num_blocks);
  }
}

}  // namespace
}  // namespace glmoe
