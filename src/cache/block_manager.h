// Which KV blocks belong to which sequence, and which hold a prefix that others can reuse. Host
// bookkeeping only: the memory is KvPool's.
//
// A block holds tokens_per_block consecutive positions. Blocks whose tokens are known form a tree:
// a child continues its parent's text. Sequences share what is in the tree and never write to it,
// but for places behind the tokens that the tree knows. What no sequence holds stays, to be found
// again, until its memory is needed: the longest unused goes first, and since a sequence gives its
// blocks back from the end, a child always goes before its parent.
//
// Steps must run in the order in which they were planned: a block may be given away while a step
// that reads it is still to run.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/huge_pages.h"
#include "cache/block_table.h"
#include "cache/prefix_hash.h"
#include "cache/prefix_index.h"

namespace glmoe {

struct BlockStats {
  int64_t num_cached = 0;  // blocks that no sequence holds, but that hold a known prefix
  uint64_t evictions = 0;  // of such blocks
};

// Positions of the block `from` are to be copied to `to` before anything is written; from < 0:
// nothing is.
struct PrefixCopy {
  int32_t from = -1;
  int32_t to = -1;
};

class BlockManager {
 public:
  // Both numbers at least 1; blocks are 0..num_blocks-1. Without reuse nothing is ever shared.
  BlockManager(int64_t num_blocks, int64_t tokens_per_block, bool enable_reuse = true,
               PrefixHasher hasher = PrefixHasher());

  int64_t num_blocks() const { return num_blocks_; }
  // Blocks that no sequence holds, the cached ones among them.
  int64_t num_free() const { return static_cast<int64_t>(free_.size()) + num_idle_; }
  int64_t tokens_per_block() const { return tokens_per_block_; }
  bool enable_reuse() const { return enable_reuse_; }
  BlockStats stats() const { return {.num_cached = num_idle_, .evictions = evictions_}; }
  // Blocks that `num_tokens` positions take.
  int64_t blocks_for(int64_t num_tokens) const;

  // The longest known beginning of `tokens`; `table` is empty and lends its salt and its hashes,
  // and is always asked with the same text, which may grow.
  PrefixMatch match(BlockTable& table, std::span<const int32_t> tokens) const;
  // Fills an empty table: what `match` found (in this moment), then new blocks for `num_tokens`
  // positions in all. All or nothing: false, and nothing changed, where too few blocks are free.
  bool start(BlockTable& table, const PrefixMatch& match, int64_t num_tokens, PrefixCopy& copy);
  // Makes the table long enough for `num_tokens` positions; it never shrinks. All or nothing.
  bool reserve(BlockTable& table, int64_t num_tokens);

  // `tokens` up to `end` are about to be computed: match() says so to others.
  void announce(BlockTable& table, std::span<const int32_t> tokens, int64_t end);
  // Whether commit() of as many has anything to do: of the steps of a decoding sequence one in P.
  bool completes_block(const BlockTable& table, int64_t num_computed) const {
    return enable_reuse_ && num_computed >= (table.num_known_ + 1) * tokens_per_block_;
  }
  // The first `num_computed` of `tokens` are computed: whole blocks of them enter the tree. Where
  // another block holds the same text already, the table takes that one instead.
  void commit(BlockTable& table, std::span<const int32_t> tokens, int64_t num_computed);
  // Such a commit comes soon: hashes the next block and brings what commit() reads into the
  // processor's cache. Changes nothing that can be seen.
  void prepare_commit(BlockTable& table, std::span<const int32_t> tokens) const;
  // Gives all blocks back. What is computed of the last, unfinished block can be found again too.
  void release(BlockTable& table, std::span<const int32_t> tokens, int64_t num_computed);
  // Gives all blocks back and forgets what only this sequence has vouched for.
  void discard(BlockTable& table);
  // Forgets every known prefix, for whoever writes to blocks by other ways; no sequence holds any.
  void forget();

  // Throws kInternal unless every block is exactly one of free, cached or held, the counts of
  // holders are those of `tables` (all there are), and tree, index and order of eviction agree.
  void check(std::span<const BlockTable* const> tables) const;

 private:
  struct alignas(64) Block {
    int32_t num_holders = 0;
    int32_t num_tokens = 0;  // > 0: in the tree, with that many known tokens
    int32_t parent = -1;     // -1: the block begins the text
    int32_t first_child = -1, next_sibling = -1, previous_sibling = -1;
    int32_t older = -1, newer = -1;  // in the order of eviction
    PrefixHash hash;                 // of whole ones
  };
  using Tokens = std::span<const int32_t>;

  Block& at(int32_t block) { return blocks_[static_cast<size_t>(block)]; }
  const Block& at(int32_t block) const { return blocks_[static_cast<size_t>(block)]; }
  Tokens known_tokens(int32_t block) const;
  Tokens slice(Tokens tokens, int64_t index) const;
  const PrefixHash& hash_before(BlockTable& table, Tokens tokens, int64_t index) const;
  bool same_salt(int32_t block, const BlockTable& table) const;
  bool is_prefix(int32_t block, int32_t parent, Tokens tokens, const BlockTable& table) const;
  void match_partial(const BlockTable& table, Tokens rest, PrefixMatch& match) const;

  int32_t take_block();
  void evict_oldest();
  void hold(int32_t block);
  void drop(int32_t block);
  void append_idle(int32_t block);
  void unlink_idle(int32_t block);
  void free_idle(int32_t block);

  bool enter_block(BlockTable& table, Tokens tokens, int64_t index);
  void enter_partial(BlockTable& table, Tokens tokens, int64_t num_computed);
  void add_to_tree(int32_t block, int32_t parent, Tokens tokens, const BlockTable& table);
  void remove_from_tree(int32_t block);
  int32_t& first_child_of(int32_t parent);
  void clear(BlockTable& table);
  void retract_announced(BlockTable& table, int64_t from, int64_t to);
  void changed(BlockTable& table);
  void grown(BlockTable& table);
  void check_tree(int32_t block) const;

  int64_t num_blocks_;
  int64_t tokens_per_block_;
  bool enable_reuse_;
  PrefixHasher hasher_;
  std::vector<Block, HugePageAllocator<Block>> blocks_;
  // [num_blocks][P] of the blocks in the tree
  std::vector<int32_t, HugePageAllocator<int32_t>> tokens_;
  std::vector<int32_t> free_;          // a stack: the last one freed is the next one given
  int32_t oldest_ = -1, newest_ = -1;  // of the cached blocks
  int64_t num_idle_ = 0;
  int32_t first_root_ = -1;
  std::unordered_map<int32_t, std::shared_ptr<const std::string>> root_salts_;
  PrefixIndex index_;  // whole blocks of the tree
  struct HashOfHash {
    size_t operator()(const PrefixHash& hash) const { return hash.low; }
  };
  std::unordered_map<PrefixHash, int64_t, HashOfHash> announced_;  // -> by how many sequences
  uint64_t last_version_ = 0;
  uint64_t evictions_ = 0;
};

}  // namespace glmoe
