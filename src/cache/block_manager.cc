#include "cache/block_manager.h"

#include <limits>

#include "base/check.h"

namespace glmoe {

BlockManager::BlockManager(int64_t num_blocks, int64_t tokens_per_block)
    : num_blocks_(num_blocks), tokens_per_block_(tokens_per_block) {
  GLMOE_CHECK_GE(num_blocks, 1);
  GLMOE_CHECK_LE(num_blocks, std::numeric_limits<int32_t>::max());
  GLMOE_CHECK_GE(tokens_per_block, 1);
  GLMOE_CHECK_LT(tokens_per_block, std::numeric_limits<int64_t>::max() / num_blocks);
  free_.reserve(static_cast<size_t>(num_blocks));
  for (int64_t block = num_blocks - 1; block >= 0; --block) {
    free_.push_back(static_cast<int32_t>(block));
  }
}

int64_t BlockManager::blocks_for(int64_t num_tokens) const {
  return num_tokens <= 0 ? 0 : (num_tokens - 1) / tokens_per_block_ + 1;
}

bool BlockManager::reserve(SequenceId id, int64_t num_tokens) {
  const int64_t wanted = blocks_for(num_tokens);
  const auto found = tables_.find(id);
  const int64_t held = found == tables_.end() ? 0 : static_cast<int64_t>(found->second.size());
  if (wanted <= held) return true;
  if (wanted - held > num_free()) return false;
  std::vector<int32_t>& table = found == tables_.end() ? tables_[id] : found->second;
  for (int64_t i = held; i < wanted; ++i) {
    table.push_back(free_.back());
    free_.pop_back();
  }
  return true;
}

const std::vector<int32_t>& BlockManager::table(SequenceId id) const {
  static const std::vector<int32_t> none;
  const auto found = tables_.find(id);
  return found == tables_.end() ? none : found->second;
}

void BlockManager::release(SequenceId id) {
  const auto found = tables_.find(id);
  if (found == tables_.end()) return;
  // Backwards, so that the same sequence coming again gets its blocks in the same order.
  free_.insert(free_.end(), found->second.rbegin(), found->second.rend());
  tables_.erase(found);
}

void BlockManager::check() const {
  std::vector<int> owners(static_cast<size_t>(num_blocks_), 0);
  const auto count = [&](const std::vector<int32_t>& blocks) {
    for (const int32_t block : blocks) {
      GLMOE_CHECK(block >= 0 && block < num_blocks_, "block {} of {}", block, num_blocks_);
      ++owners[static_cast<size_t>(block)];
    }
  };
  count(free_);
  for (const auto& [id, table] : tables_) count(table);
  for (size_t block = 0; block < owners.size(); ++block) {
    GLMOE_CHECK_EQ(owners[block], 1, "owners of block {}", block);
  }
}

}  // namespace glmoe
