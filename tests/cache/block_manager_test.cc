// Mirrors: src/cache/block_manager.cc, src/cache/block_check.cc
#include "cache/block_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>

#include "glmoe/error.h"

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Ids = std::vector<int32_t>;

Ids text(int32_t first, int64_t length) {
  Ids ids(static_cast<size_t>(length));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = first + static_cast<int32_t>(i);
  return ids;
}

// A table with its text, as a sequence has it.
struct Sequence {
  Sequence(BlockManager& manager, Ids ids, const std::string& salt = "")
      : blocks(manager), tokens(std::move(ids)), table(salt) {}
  // Looks up all but the last token and takes blocks for all.
  bool start() {
    match = blocks.match(table, {tokens.data(), tokens.size() - 1});
    return blocks.start(table, match, static_cast<int64_t>(tokens.size()), copy);
  }
  void compute() { compute(static_cast<int64_t>(tokens.size())); }
  void compute(int64_t count) {
    computed = count;
    blocks.commit(table, tokens, computed);
  }
  void release() { blocks.release(table, tokens, computed); }
  void run() {
    EXPECT_TRUE(start());
    compute();
    release();
  }

  BlockManager& blocks;
  Ids tokens;
  BlockTable table;
  PrefixMatch match;
  PrefixCopy copy;
  int64_t computed = 0;
};

void check(const BlockManager& blocks, std::initializer_list<const Sequence*> sequences = {}) {
  std::vector<const BlockTable*> tables;
  for (const Sequence* sequence : sequences) tables.push_back(&sequence->table);
  ASSERT_NO_THROW(blocks.check(tables));
}

TEST(BlockManager, GivesABlockForEachStartedGroupOfTokens) {
  BlockManager blocks(8, 4);
  BlockTable table;
  EXPECT_TRUE(blocks.reserve(table, 1));
  EXPECT_THAT(table.blocks(), ElementsAre(0));
  const uint64_t version = table.version();
  EXPECT_TRUE(blocks.reserve(table, 4));
  EXPECT_EQ(table.version(), version);
  EXPECT_TRUE(blocks.reserve(table, 5));
  EXPECT_THAT(table.blocks(), ElementsAre(0, 1));
  EXPECT_NE(table.version(), version);
  EXPECT_EQ(table.capacity(), 8);
  EXPECT_EQ(blocks.num_free(), 6);
  EXPECT_EQ(blocks.blocks_for(0), 0);
  EXPECT_EQ(blocks.blocks_for(8), 2);
  EXPECT_EQ(blocks.blocks_for(9), 3);
}

TEST(BlockManager, RefusesWithoutChangingAnythingWhenTooFewAreFree) {
  BlockManager blocks(4, 4);
  Sequence first(blocks, text(0, 8)), second(blocks, text(50, 12));
  ASSERT_TRUE(first.start());
  EXPECT_FALSE(second.start());
  EXPECT_EQ(blocks.num_free(), 2);
  EXPECT_THAT(second.table.blocks(), IsEmpty());
  EXPECT_FALSE(blocks.reserve(first.table, 20));
  EXPECT_FALSE(blocks.reserve(first.table, INT64_MAX));
  EXPECT_THAT(first.table.blocks(), ElementsAre(0, 1));
  EXPECT_TRUE(blocks.reserve(first.table, 16));
  EXPECT_TRUE(blocks.reserve(first.table, 1)) << "a table never shrinks";
  EXPECT_EQ(first.table.size(), 4);
  check(blocks, {&first, &second});
}

TEST(BlockManager, TakesBlocksBackOnce) {
  BlockManager blocks(4, 4);
  BlockTable table;
  ASSERT_TRUE(blocks.reserve(table, 16));
  blocks.release(table, text(0, 16), 0);
  blocks.release(table, text(0, 16), 0);
  EXPECT_EQ(blocks.num_free(), 4);
  EXPECT_THAT(table.blocks(), IsEmpty());
  ASSERT_TRUE(blocks.reserve(table, 8));
  EXPECT_THAT(table.blocks(), ElementsAre(0, 1)) << "in the same order again";
}

TEST(BlockManager, RefusesToBeBuiltWithoutBlocks) {
  EXPECT_THROW(BlockManager(0, 16), Error);
  EXPECT_THROW(BlockManager(4, 0), Error);
  EXPECT_THROW(BlockManager(int64_t{1} << 31, 16), Error);
}

TEST(PrefixReuse, FindsWholeBlocksAndTheBeginningOfOne) {
  BlockManager blocks(16, 4);
  Sequence(blocks, text(0, 12)).run();
  EXPECT_EQ(blocks.num_free(), 16);
  EXPECT_EQ(blocks.stats().num_cached, 3);

  Sequence again(blocks, text(0, 12));
  ASSERT_TRUE(again.start());
  // The last token is not looked up, so the last block is found as far as its third token.
  EXPECT_EQ(again.match.num_tokens, 11);
  EXPECT_EQ(again.match.blocks.size(), 2u);
  EXPECT_EQ(again.match.partial_tokens, 3);
  EXPECT_EQ(again.copy.from, again.match.partial_block);
  EXPECT_EQ(again.copy.to, again.table.blocks()[2]);
  EXPECT_EQ(blocks.num_free(), 13);

  Ids other = text(0, 12);
  other[6] = 99;
  Sequence diverges(blocks, other);
  ASSERT_TRUE(diverges.start());
  EXPECT_EQ(diverges.match.num_tokens, 6);
  EXPECT_EQ(diverges.table.blocks()[0], again.table.blocks()[0]) << "shared";
  EXPECT_NE(diverges.table.blocks()[1], again.table.blocks()[1]);
  check(blocks, {&again, &diverges});
}

TEST(PrefixReuse, FindsAnUnfinishedLastBlock) {
  BlockManager blocks(16, 4);
  Sequence(blocks, text(0, 6)).run();
  Sequence next_turn(blocks, text(0, 11));
  ASSERT_TRUE(next_turn.start());
  EXPECT_EQ(next_turn.match.num_tokens, 6);
  EXPECT_EQ(next_turn.match.partial_tokens, 2);
  next_turn.compute();
  next_turn.release();
  Sequence third(blocks, text(0, 20));
  ASSERT_TRUE(third.start());
  EXPECT_EQ(third.match.num_tokens, 11);
  check(blocks, {&third});
}

TEST(PrefixReuse, SeparatesSalts) {
  BlockManager blocks(32, 4);
  Sequence(blocks, text(0, 12), "a").run();
  Sequence(blocks, text(0, 12), "b").run();
  Sequence none(blocks, text(0, 12)), same(blocks, text(0, 12), "a");
  ASSERT_TRUE(none.start());
  EXPECT_EQ(none.match.num_tokens, 0);
  ASSERT_TRUE(same.start());
  EXPECT_EQ(same.match.num_tokens, 11);
  check(blocks, {&none, &same});
}

TEST(PrefixReuse, DoesNotBelieveAHashAlone) {
  // One hash for everything: what is found must be compared, and two texts can't both be entered.
  BlockManager blocks(16, 4, true, PrefixHasher({.low = 1, .high = 2}, 0));
  Sequence first(blocks, text(0, 8)), second(blocks, text(100, 8));
  ASSERT_TRUE(first.start());
  first.compute();
  ASSERT_TRUE(second.start());
  EXPECT_EQ(second.match.num_tokens, 0);
  // The same tokens at another place of the text are another prefix.
  Ids shifted = text(100, 4);
  const Ids tail = text(0, 8);
  shifted.insert(shifted.end(), tail.begin(), tail.end());
  Sequence third(blocks, shifted);
  ASSERT_TRUE(third.start());
  EXPECT_EQ(third.match.num_tokens, 0);
  second.compute();
  EXPECT_EQ(second.table.size(), 2) << "collided, and keeps its own blocks";
  check(blocks, {&first, &second, &third});
  second.release();
  check(blocks, {&first, &third});
}

TEST(PrefixReuse, TwoThatComputeTheSameEndUpWithOneCopy) {
  BlockManager blocks(16, 4);
  Sequence first(blocks, text(0, 9)), second(blocks, text(0, 9));
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(second.start());
  EXPECT_EQ(blocks.num_free(), 10);
  first.compute();
  const uint64_t version = second.table.version();
  second.compute();
  EXPECT_EQ(blocks.num_free(), 12);
  EXPECT_NE(second.table.version(), version);
  EXPECT_EQ(first.table.blocks()[1], second.table.blocks()[1]);
  EXPECT_NE(first.table.blocks()[2], second.table.blocks()[2]) << "not whole yet";
  check(blocks, {&first, &second});
}

TEST(PrefixReuse, SaysWhatIsBeingComputed) {
  BlockManager blocks(16, 4);
  Sequence first(blocks, text(0, 9)), second(blocks, text(0, 9));
  ASSERT_TRUE(first.start());
  blocks.announce(first.table, first.tokens, 9);
  EXPECT_TRUE(blocks.match(second.table, {second.tokens.data(), 8}).more_to_come);
  check(blocks, {&first, &second});
  first.compute(4);
  EXPECT_TRUE(blocks.match(second.table, {second.tokens.data(), 8}).more_to_come);
  first.compute(9);
  const PrefixMatch match = blocks.match(second.table, {second.tokens.data(), 8});
  EXPECT_FALSE(match.more_to_come);
  EXPECT_EQ(match.num_tokens, 8);
  Sequence third(blocks, text(50, 9)), fourth(blocks, text(50, 9));
  ASSERT_TRUE(third.start());
  blocks.announce(third.table, third.tokens, 9);
  third.release();
  EXPECT_FALSE(blocks.match(fourth.table, {fourth.tokens.data(), 8}).more_to_come);
  check(blocks, {&first});
}

TEST(PrefixReuse, EvictsTheLongestUnusedFromItsEnd) {
  BlockManager blocks(6, 4);
  Sequence(blocks, text(0, 12)).run();
  Sequence(blocks, text(100, 12)).run();
  Sequence touch(blocks, text(0, 12));  // the first is now the one used last
  ASSERT_TRUE(touch.start());
  touch.compute();
  touch.release();
  EXPECT_EQ(blocks.stats().evictions, 1u) << "one for the block into which the end was copied";
  Sequence big(blocks, text(200, 12));
  ASSERT_TRUE(big.start());
  check(blocks, {&big});
  BlockTable probe, other_probe;
  EXPECT_EQ(blocks.match(probe, text(0, 12)).num_tokens, 12);
  EXPECT_EQ(blocks.match(other_probe, text(100, 12)).num_tokens, 0);
}

TEST(PrefixReuse, NeverEvictsWhatIsHeld) {
  BlockManager blocks(4, 4);
  Sequence holder(blocks, text(0, 8)), other(blocks, text(100, 12));
  ASSERT_TRUE(holder.start());
  holder.compute();
  EXPECT_FALSE(other.start());
  other.tokens.resize(8);
  EXPECT_TRUE(other.start());
  check(blocks, {&holder, &other});
}

TEST(PrefixReuse, WhatIsMatchedIsNotFreeForTheRest) {
  BlockManager blocks(4, 4);
  Sequence(blocks, text(0, 12)).run();
  // Two whole blocks match; two more would be needed, and three are free but two of them matched.
  Sequence longer(blocks, text(0, 20));
  EXPECT_FALSE(longer.start());
  EXPECT_THAT(longer.table.blocks(), IsEmpty());
  longer.tokens.resize(16);
  EXPECT_TRUE(longer.start());
  check(blocks, {&longer});
}

TEST(PrefixReuse, WithoutItNothingIsKept) {
  BlockManager blocks(8, 4, false);
  Sequence(blocks, text(0, 12)).run();
  EXPECT_EQ(blocks.stats().num_cached, 0);
  Sequence again(blocks, text(0, 12));
  ASSERT_TRUE(again.start());
  EXPECT_EQ(again.match.num_tokens, 0);
  check(blocks, {&again});
}

TEST(PrefixReuse, ForgetsAllOnDemandAndWhatFailedAtOnce) {
  BlockManager blocks(8, 4);
  Sequence(blocks, text(0, 12)).run();
  blocks.forget();
  EXPECT_EQ(blocks.stats().num_cached, 0);
  EXPECT_EQ(blocks.num_free(), 8);
  Sequence failed(blocks, text(0, 12));
  ASSERT_TRUE(failed.start());
  failed.compute(8);
  blocks.discard(failed.table);
  EXPECT_EQ(blocks.stats().num_cached, 0);
  Sequence good(blocks, text(0, 12));
  ASSERT_TRUE(good.start());
  good.compute();
  EXPECT_THROW(blocks.forget(), Error);
  Sequence sharer(blocks, text(0, 12));
  ASSERT_TRUE(sharer.start());
  blocks.discard(sharer.table);  // the others have vouched for the shared ones
  check(blocks, {&good});
  BlockTable probe;
  EXPECT_EQ(blocks.match(probe, text(0, 12)).num_tokens, 12);
}

TEST(BlockCheck, NoticesAHolderThatIsNotNamed) {
  BlockManager blocks(8, 4);
  Sequence sequence(blocks, text(0, 12));
  ASSERT_TRUE(sequence.start());
  EXPECT_THROW(blocks.check({}), Error);
  const std::array<const BlockTable*, 2> twice = {&sequence.table, &sequence.table};
  EXPECT_THROW(blocks.check(twice), Error);
  check(blocks, {&sequence});
}

// Against a plain model of the memory: what each place of each block really holds. Texts of few
// different tokens share beginnings all the time; the cache is small, so most is evicted.
class Memory {
 public:
  Memory(int64_t num_blocks, int64_t tokens_per_block)
      : size_(tokens_per_block), places_(static_cast<size_t>(num_blocks * size_), -1) {}
  int32_t& at(const BlockTable& table, int64_t position) {
    const int32_t block = table.blocks().at(static_cast<size_t>(position / size_));
    return places_[static_cast<size_t>(block * size_ + position % size_)];
  }
  void copy(const PrefixCopy& copy) {
    if (copy.from < 0) return;
    std::copy_n(places_.begin() + copy.from * size_, size_, places_.begin() + copy.to * size_);
  }

 private:
  int64_t size_;
  std::vector<int32_t> places_;
};

TEST(PrefixReuse, EveryPlaceHoldsItsTokenUnderRandomUse) {
  uint64_t hits = 0, evictions = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const int64_t num_blocks = 4 + random() % 60;
    const int64_t tokens_per_block = 1 + random() % 9;
    const int num_bits = seed % 3 == 0 ? 3 : 128;  // with collisions, too
    BlockManager blocks(num_blocks, tokens_per_block, true, PrefixHasher({1, 2}, num_bits));
    Memory memory(num_blocks, tokens_per_block);
    std::vector<std::unique_ptr<Sequence>> running;
    for (int step = 0; step < 600; ++step) {
      if (running.size() < 6 && random() % 3 == 0) {
        Ids ids(2 + random() % 40);
        for (int32_t& id : ids) id = static_cast<int32_t>(random() % 8 == 0);
        auto sequence = std::make_unique<Sequence>(blocks, ids, random() % 4 == 0 ? "salt" : "");
        const int64_t free = blocks.num_free();
        if (sequence->start()) {
          memory.copy(sequence->copy);
          hits += static_cast<uint64_t>(sequence->match.num_tokens);
          sequence->computed = sequence->match.num_tokens;
          running.push_back(std::move(sequence));
        } else {
          ASSERT_EQ(blocks.num_free(), free);
        }
      } else if (!running.empty()) {
        const size_t which = random() % running.size();
        Sequence& sequence = *running[which];
        const auto length = static_cast<int64_t>(sequence.tokens.size());
        if (sequence.computed == length && random() % 2 == 0) {
          sequence.tokens.push_back(static_cast<int32_t>(random() % 2));
          if (!blocks.reserve(sequence.table, length + 1)) sequence.tokens.pop_back();
        }
        const auto known = static_cast<int64_t>(sequence.tokens.size());
        const int64_t end = std::min<int64_t>(known, sequence.computed + 1 + random() % 9);
        for (int64_t p = sequence.computed; p < end; ++p) {
          memory.at(sequence.table, p) = sequence.tokens[static_cast<size_t>(p)];
        }
        if (end > sequence.computed) sequence.compute(end);
        for (int64_t p = 0; p < sequence.computed; ++p) {
          ASSERT_EQ(memory.at(sequence.table, p), sequence.tokens[static_cast<size_t>(p)])
              << "seed " << seed << " step " << step << " position " << p;
        }
        if (random() % 6 == 0) {
          random() % 8 == 0 ? blocks.discard(sequence.table) : sequence.release();
          running.erase(running.begin() + static_cast<std::ptrdiff_t>(which));
        }
      }
      std::vector<const BlockTable*> tables;
      for (const auto& sequence : running) tables.push_back(&sequence->table);
      ASSERT_NO_THROW(blocks.check(tables)) << "seed " << seed << " step " << step;
    }
    for (const auto& sequence : running) sequence->release();
    ASSERT_NO_THROW(blocks.check({}));
    EXPECT_EQ(blocks.num_free(), num_blocks);
    evictions += blocks.stats().evictions;
  }
  EXPECT_GT(hits, 1000u);
  EXPECT_GT(evictions, 1000u);
}

}  // namespace
}  // namespace glmoe
