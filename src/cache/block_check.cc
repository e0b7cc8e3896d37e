// BlockManager::check(): proves that nothing leaks and that the prefix tree is whole.
#include "cache/block_manager.h"

#include <map>

#include "base/check.h"

namespace glmoe {

void BlockManager::check(std::span<const BlockTable* const> tables) const {
  std::vector<int32_t> holders(blocks_.size(), 0), seen(blocks_.size(), 0);
  const auto index_of = [&](int32_t block) {
    GLMOE_CHECK(block >= 0 && block < num_blocks_, "block {} of {}", block, num_blocks_);
    return static_cast<size_t>(block);
  };
  std::map<uint64_t, const BlockTable*> versions;
  int64_t num_announced = 0;
  for (const BlockTable* table : tables) {
    for (const int32_t block : table->blocks()) ++holders[index_of(block)];
    GLMOE_CHECK_EQ(table->capacity(), table->size() * tokens_per_block_);
    GLMOE_CHECK_LE(table->num_known_, table->size());
    num_announced += table->num_announced_ - table->num_known_;
    for (int64_t i = 0; i < table->num_known_; ++i) {
      const int32_t block = table->blocks()[static_cast<size_t>(i)];
      GLMOE_CHECK_EQ(at(block).num_tokens, tokens_per_block_, "known block {}", block);
      GLMOE_CHECK_EQ(at(block).parent, i > 0 ? table->blocks()[static_cast<size_t>(i - 1)] : -1);
    }
    const bool fresh = table->version() == 0 || versions.emplace(table->version(), table).second;
    GLMOE_CHECK(fresh, "two tables have version {}", table->version());
  }
  for (const int32_t block : free_) {
    GLMOE_CHECK_EQ(++seen[index_of(block)], 1, "block {} is free twice", block);
    GLMOE_CHECK_EQ(at(block).num_tokens, 0, "block {} is free and in the tree", block);
  }
  int64_t num_idle = 0;
  for (int32_t block = oldest_, older = -1; block >= 0; older = block, block = at(block).newer) {
    GLMOE_CHECK_EQ(++seen[index_of(block)], 1, "block {} is free and cached", block);
    GLMOE_CHECK(at(block).num_tokens > 0, "block {} is cached, but not in the tree", block);
    GLMOE_CHECK_EQ(at(block).older, older);
    // In the order of eviction everything that continues a block comes before it.
    for (int32_t child = at(block).first_child; child >= 0; child = at(child).next_sibling) {
      GLMOE_CHECK_EQ(seen[index_of(child)], 1, "block {} goes before block {}", block, child);
    }
    ++num_idle;
  }
  GLMOE_CHECK_EQ(num_idle, num_idle_);
  int64_t num_whole = 0;
  for (int32_t block = 0; block < num_blocks_; ++block) {
    const Block& node = at(block);
    GLMOE_CHECK_EQ(node.num_holders, holders[index_of(block)], "holders of block {}", block);
    GLMOE_CHECK_EQ(seen[index_of(block)], node.num_holders == 0 ? 1 : 0, "block {} with {} holders",
                   block, node.num_holders);
    if (node.num_tokens > 0) check_tree(block);
    num_whole += enable_reuse_ && node.num_tokens == tokens_per_block_ ? 1 : 0;
  }
  GLMOE_CHECK_EQ(index_.size(), num_whole);
  int64_t counted = 0;
  for (const auto& [hash, count] : announced_) counted += count;
  GLMOE_CHECK_EQ(counted, num_announced, "announced blocks");
}

void BlockManager::check_tree(int32_t block) const {
  const Block& node = at(block);
  GLMOE_CHECK(node.num_tokens <= tokens_per_block_);
  if (node.num_tokens == tokens_per_block_) {
    GLMOE_CHECK_EQ(index_.find(node.hash), block);
  } else {
    GLMOE_CHECK_EQ(node.first_child, -1, "unfinished block {} is continued", block);
    GLMOE_CHECK_LE(node.num_holders, 1, "unfinished block {} is shared", block);
  }
  if (node.parent >= 0) {
    const Block& parent = at(node.parent);
    GLMOE_CHECK_EQ(parent.num_tokens, tokens_per_block_, "parent of block {}", block);
    GLMOE_CHECK(node.num_holders == 0 || parent.num_holders > 0, "block {} is held, its parent not",
                block);
  }
  int32_t child = node.parent >= 0 ? at(node.parent).first_child : first_root_;
  while (child >= 0 && child != block) child = at(child).next_sibling;
  GLMOE_CHECK_EQ(child, block, "block {} is not among its parent's", block);
}

}  // namespace glmoe
