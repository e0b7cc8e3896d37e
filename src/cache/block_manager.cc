#include "cache/block_manager.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace glmoe {
namespace {

// Of the blocks that continue a text, as many are compared in search of a partial match.
constexpr int kMaxSiblings = 32;

int64_t checked_count(int64_t num_blocks, int64_t tokens_per_block) {
  GLMOE_CHECK_GE(num_blocks, 1);
  GLMOE_CHECK_LE(num_blocks, std::numeric_limits<int32_t>::max());
  GLMOE_CHECK_GE(tokens_per_block, 1);
  GLMOE_CHECK_LT(tokens_per_block, std::numeric_limits<int64_t>::max() / num_blocks);
  return num_blocks;
}

}  // namespace

BlockManager::BlockManager(int64_t num_blocks, int64_t tokens_per_block, bool enable_reuse,
                           PrefixHasher hasher)
    : num_blocks_(checked_count(num_blocks, tokens_per_block)),
      tokens_per_block_(tokens_per_block),
      enable_reuse_(enable_reuse),
      hasher_(hasher),
      index_(enable_reuse ? num_blocks : 1) {
  blocks_.resize(static_cast<size_t>(num_blocks));
  if (enable_reuse) tokens_.resize(static_cast<size_t>(num_blocks * tokens_per_block));
  free_.reserve(static_cast<size_t>(num_blocks));
  for (int64_t block = num_blocks - 1; block >= 0; --block) {
    free_.push_back(static_cast<int32_t>(block));
  }
}

int64_t BlockManager::blocks_for(int64_t num_tokens) const {
  return num_tokens <= 0 ? 0 : (num_tokens - 1) / tokens_per_block_ + 1;
}

void BlockManager::changed(BlockTable& table) {
  grown(table);
  table.base_version_ = table.version_;
}

void BlockManager::grown(BlockTable& table) {
  table.version_ = ++last_version_;
  table.capacity_ = static_cast<int32_t>(
      std::min<int64_t>(table.size() * tokens_per_block_, std::numeric_limits<int32_t>::max()));
}

// --- Finding

BlockManager::Tokens BlockManager::known_tokens(int32_t block) const {
  return Tokens(tokens_).subspan(static_cast<size_t>(block * tokens_per_block_),
                                 static_cast<size_t>(at(block).num_tokens));
}

BlockManager::Tokens BlockManager::slice(Tokens tokens, int64_t index) const {
  const auto size = static_cast<size_t>(tokens_per_block_);
  return tokens.subspan(static_cast<size_t>(index) * size, size);
}

const PrefixHash& BlockManager::hash_before(BlockTable& table, Tokens tokens, int64_t index) const {
  std::vector<PrefixHash>& hashes = table.hashes_;
  if (hashes.empty()) hashes.push_back(hasher_.root(table.salt_ ? *table.salt_ : std::string()));
  while (static_cast<int64_t>(hashes.size()) <= index) {
    hashes.push_back(
        hasher_.extend(hashes.back(), slice(tokens, static_cast<int64_t>(hashes.size()) - 1)));
  }
  return hashes[static_cast<size_t>(index)];
}

bool BlockManager::same_salt(int32_t block, const BlockTable& table) const {
  const auto found = root_salts_.find(block);
  if (found == root_salts_.end()) return table.salt_ == nullptr;
  return table.salt_ != nullptr && *found->second == *table.salt_;
}

// Whether the block holds exactly this text behind its parent's: the hash alone is not believed.
bool BlockManager::is_prefix(int32_t block, int32_t parent, Tokens tokens,
                             const BlockTable& table) const {
  return at(block).parent == parent && std::ranges::equal(known_tokens(block), tokens) &&
         (parent >= 0 || same_salt(block, table));
}

PrefixMatch BlockManager::match(BlockTable& table, Tokens tokens) const {
  PrefixMatch match;
  if (!enable_reuse_) return match;
  GLMOE_CHECK(table.blocks_.empty(), "a text is looked up before its table is filled");
  const int64_t num_whole = static_cast<int64_t>(tokens.size()) / tokens_per_block_;
  int32_t parent = -1;
  for (int64_t i = 0; i < num_whole; ++i) {
    const PrefixHash& hash = hash_before(table, tokens, i + 1);
    const int32_t block = index_.find(hash);
    if (block < 0 || !is_prefix(block, parent, slice(tokens, i), table)) {
      match.more_to_come = announced_.contains(hash);
      break;
    }
    match.blocks.push_back(block);
    match.num_unreferenced += at(block).num_holders == 0 ? 1 : 0;
    parent = block;
  }
  match.num_tokens = static_cast<int64_t>(match.blocks.size()) * tokens_per_block_;
  match_partial(table, tokens.subspan(static_cast<size_t>(match.num_tokens)), match);
  return match;
}

void BlockManager::match_partial(const BlockTable& table, Tokens rest, PrefixMatch& match) const {
  int32_t child = match.blocks.empty() ? first_root_ : at(match.blocks.back()).first_child;
  for (int i = 0; child >= 0 && i < kMaxSiblings; ++i, child = at(child).next_sibling) {
    if (match.blocks.empty() && !same_salt(child, table)) continue;
    const Tokens known = known_tokens(child);
    const auto equal = std::ranges::mismatch(known, rest).in1 - known.begin();
    if (equal <= match.partial_tokens) continue;
    match.partial_block = child;
    match.partial_tokens = equal;
  }
  match.num_tokens += match.partial_tokens;
}

// --- Giving and taking back

void BlockManager::append_idle(int32_t block) {
  at(block).older = newest_;
  at(block).newer = -1;
  (newest_ >= 0 ? at(newest_).newer : oldest_) = block;
  newest_ = block;
  ++num_idle_;
}

void BlockManager::unlink_idle(int32_t block) {
  const Block& node = at(block);
  (node.older >= 0 ? at(node.older).newer : oldest_) = node.newer;
  (node.newer >= 0 ? at(node.newer).older : newest_) = node.older;
  --num_idle_;
}

void BlockManager::hold(int32_t block) {
  Block& node = at(block);
  if (node.num_holders == 0 && node.num_tokens > 0) unlink_idle(block);
  ++node.num_holders;
}

void BlockManager::drop(int32_t block) {
  Block& node = at(block);
  if (--node.num_holders > 0) return;
  if (node.num_tokens > 0) {
    append_idle(block);
  } else {
    free_.push_back(block);
  }
}

void BlockManager::free_idle(int32_t block) {
  unlink_idle(block);
  remove_from_tree(block);
  free_.push_back(block);
}

int32_t BlockManager::take_block() {
  if (free_.empty()) {
    free_idle(oldest_);
    ++evictions_;
  }
  const int32_t block = free_.back();
  free_.pop_back();
  at(block).num_holders = 1;
  return block;
}

bool BlockManager::start(BlockTable& table, const PrefixMatch& match, int64_t num_tokens,
                         PrefixCopy& copy) {
  GLMOE_CHECK(table.blocks_.empty(), "a table is started once");
  const auto num_matched = static_cast<int64_t>(match.blocks.size());
  const int64_t wanted = std::max(blocks_for(num_tokens), blocks_for(match.num_tokens));
  if (wanted - num_matched > num_free() - match.num_unreferenced) return false;
  for (const int32_t block : match.blocks) hold(block);
  table.blocks_ = match.blocks;
  table.num_announced_ = num_matched;
  table.num_known_ = static_cast<int32_t>(num_matched);
  table.blocks_.reserve(static_cast<size_t>(wanted));
  for (int64_t i = num_matched; i < wanted; ++i) table.blocks_.push_back(take_block());
  copy = {};
  if (match.partial_block >= 0) {
    copy = {.from = match.partial_block, .to = table.blocks_[static_cast<size_t>(num_matched)]};
    // The source itself may have been the oldest: then it holds its content still.
    if (copy.from == copy.to) copy = {};
  }
  changed(table);
  return true;
}

bool BlockManager::reserve(BlockTable& table, int64_t num_tokens) {
  const int64_t wanted = blocks_for(num_tokens);
  if (wanted <= table.size()) return true;
  if (wanted - table.size() > num_free()) return false;
  while (table.size() < wanted) table.blocks_.push_back(take_block());
  grown(table);
  return true;
}

void BlockManager::release(BlockTable& table, Tokens tokens, int64_t num_computed) {
  if (table.blocks_.empty()) return;
  if (enable_reuse_ && num_computed > 0) {
    commit(table, tokens, num_computed);
    enter_partial(table, tokens, num_computed);
  }
  for (auto block = table.blocks_.rbegin(); block != table.blocks_.rend(); ++block) drop(*block);
  clear(table);
}

void BlockManager::discard(BlockTable& table) {
  for (auto block = table.blocks_.rbegin(); block != table.blocks_.rend(); ++block) {
    drop(*block);
    const Block& node = at(*block);
    if (node.num_holders == 0 && node.num_tokens > 0 && node.first_child < 0) free_idle(*block);
  }
  clear(table);
}

void BlockManager::clear(BlockTable& table) {
  if (table.blocks_.empty()) return;
  retract_announced(table, table.num_known_, table.num_announced_);
  table.blocks_.clear();
  table.num_known_ = 0;
  table.num_announced_ = 0;
  changed(table);
}

void BlockManager::forget() {
  while (oldest_ >= 0) free_idle(oldest_);
  GLMOE_CHECK_EQ(index_.size(), 0, "the cache is forgotten while sequences hold blocks of it");
}

// --- The tree

int32_t& BlockManager::first_child_of(int32_t parent) {
  return parent < 0 ? first_root_ : at(parent).first_child;
}

// The newest child comes first: the likeliest to be looked for.
void BlockManager::add_to_tree(int32_t block, int32_t parent, Tokens tokens,
                               const BlockTable& table) {
  Block& node = at(block);
  node.num_tokens = static_cast<int32_t>(tokens.size());
  node.parent = parent;
  node.first_child = -1;
  std::ranges::copy(tokens, tokens_.begin() + block * tokens_per_block_);
  int32_t& first = first_child_of(parent);
  node.previous_sibling = -1;
  node.next_sibling = first;
  if (first >= 0) at(first).previous_sibling = block;
  first = block;
  if (parent < 0 && table.salt_) root_salts_.emplace(block, table.salt_);
}

void BlockManager::remove_from_tree(int32_t block) {
  Block& node = at(block);
  GLMOE_CHECK_EQ(node.first_child, -1, "block {} goes before what continues it", block);
  if (node.num_tokens == tokens_per_block_) index_.erase(node.hash);
  if (node.parent < 0) root_salts_.erase(block);
  (node.previous_sibling >= 0 ? at(node.previous_sibling).next_sibling
                              : first_child_of(node.parent)) = node.next_sibling;
  if (node.next_sibling >= 0) at(node.next_sibling).previous_sibling = node.previous_sibling;
  node.num_tokens = 0;
}

void BlockManager::commit(BlockTable& table, Tokens tokens, int64_t num_computed) {
  if (!enable_reuse_) return;
  const int64_t num_whole = std::min(num_computed / tokens_per_block_, table.size());
  while (table.num_known_ < num_whole && !table.closed_) {
    if (!enter_block(table, tokens, table.num_known_)) {
      retract_announced(table, table.num_known_, table.num_announced_);
      table.num_announced_ = table.num_known_;
      table.closed_ = true;
      return;
    }
    retract_announced(table, table.num_known_,
                      std::min<int64_t>(table.num_known_ + 1, table.num_announced_));
    ++table.num_known_;
    table.num_announced_ = std::max<int64_t>(table.num_announced_, table.num_known_);
  }
}

void BlockManager::prepare_commit(BlockTable& table, Tokens tokens) const {
  if (!enable_reuse_ || table.closed_ || table.num_known_ >= table.size()) return;
  index_.prefetch(hash_before(table, tokens, table.num_known_ + 1));
  const int32_t block = table.blocks_[static_cast<size_t>(table.num_known_)];
  __builtin_prefetch(&at(block), 1);
  __builtin_prefetch(&tokens_[static_cast<size_t>(block * tokens_per_block_)], 1);
  if (table.num_known_ > 0) {
    __builtin_prefetch(&at(table.blocks_[static_cast<size_t>(table.num_known_ - 1)]), 1);
  }
}

bool BlockManager::enter_block(BlockTable& table, Tokens tokens, int64_t index) {
  int32_t& block = table.blocks_[static_cast<size_t>(index)];
  const int32_t parent = index > 0 ? table.blocks_[static_cast<size_t>(index - 1)] : -1;
  const PrefixHash hash = hash_before(table, tokens, index + 1);
  const Tokens own = slice(tokens, index);
  const int32_t same = index_.find(hash);
  if (same >= 0 && !is_prefix(same, parent, own, table)) return false;
  if (same >= 0) {
    hold(same);
    drop(block);
    block = same;
    changed(table);
    return true;
  }
  add_to_tree(block, parent, own, table);
  at(block).hash = hash;
  index_.insert(hash, block);
  return true;
}

// The unfinished block at the end; worth a place only where nothing known begins with its tokens.
void BlockManager::enter_partial(BlockTable& table, Tokens tokens, int64_t num_computed) {
  const int64_t index = table.num_known_;
  const int64_t begin = index * tokens_per_block_;
  const int64_t count = num_computed - begin;
  if (table.closed_ || count <= 0 || count >= tokens_per_block_ || index >= table.size()) return;
  const Tokens own = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
  const int32_t parent = index > 0 ? table.blocks_[static_cast<size_t>(index - 1)] : -1;
  PrefixMatch known;
  if (parent >= 0) known.blocks.push_back(parent);
  match_partial(table, own, known);
  if (known.partial_tokens == count) return;
  add_to_tree(table.blocks_[static_cast<size_t>(index)], parent, own, table);
}

void BlockManager::announce(BlockTable& table, Tokens tokens, int64_t end) {
  if (!enable_reuse_ || table.closed_) return;
  const int64_t last = end / tokens_per_block_;
  for (; table.num_announced_ < last; ++table.num_announced_) {
    ++announced_[hash_before(table, tokens, table.num_announced_ + 1)];
  }
}

// Blocks [from, to) of those that the table has announced.
void BlockManager::retract_announced(BlockTable& table, int64_t from, int64_t to) {
  for (int64_t i = from; i < to; ++i) {
    const auto found = announced_.find(table.hashes_[static_cast<size_t>(i + 1)]);
    GLMOE_CHECK(found != announced_.end());
    if (--found->second == 0) announced_.erase(found);
  }
}

}  // namespace glmoe
