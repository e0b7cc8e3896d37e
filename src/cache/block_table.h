// The blocks of one sequence. The sequence keeps it, the BlockManager alone changes it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cache/prefix_hash.h"

namespace glmoe {

class BlockTable {
 public:
  BlockTable() = default;
  // Sequences share prefixes only where their salts are equal.
  explicit BlockTable(const std::string& salt)
      : salt_(salt.empty() ? nullptr : std::make_shared<const std::string>(salt)) {}
  // A copy would own its blocks a second time.
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;
  BlockTable(BlockTable&&) = default;
  BlockTable& operator=(BlockTable&&) = default;

  // Block i holds positions [i*P, (i+1)*P).
  const std::vector<int32_t>& blocks() const { return blocks_; }
  int64_t size() const { return static_cast<int64_t>(blocks_.size()); }
  // Positions that it has room for; no more than 2^31 - 1 are counted.
  int32_t capacity() const { return capacity_; }
  // Another number after every change, over all tables; 0: never filled.
  uint64_t version() const { return version_; }
  // Since this version blocks have only been appended.
  uint64_t base_version() const { return base_version_; }
  // Before it is committed: bring what is read of it into the processor's cache, in two steps,
  // since the second looks into what the first has brought.
  void prefetch() const {
    __builtin_prefetch(&blocks_);
    __builtin_prefetch(&hashes_, 1);
  }
  void prefetch_ends() const {
    __builtin_prefetch(blocks_.data() + num_known_);
    __builtin_prefetch(hashes_.data() + hashes_.size(), 1);
  }

 private:
  friend class BlockManager;

  // What a step reads comes first, so that it can share a cache line with its sequence's state.
  uint64_t version_ = 0;
  int32_t capacity_ = 0;
  int32_t num_known_ = 0;  // leading blocks that are in the prefix tree
  std::vector<int32_t> blocks_;
  uint64_t base_version_ = 0;
  int64_t num_announced_ = 0;  // leading blocks that are, or are being computed for it
  bool closed_ = false;        // a collision of hashes: nothing more is entered
  // hashes_[i]: of the prefix before block i. Filled as far as it was needed.
  std::vector<PrefixHash> hashes_;
  std::shared_ptr<const std::string> salt_;
};

// What of a text the cache holds.
struct PrefixMatch {
  std::vector<int32_t> blocks;  // whole ones, from the beginning
  int32_t partial_block = -1;   // begins with the next `partial_tokens` tokens
  int64_t partial_tokens = 0;
  int64_t num_tokens = 0;  // of both together
  // Of `blocks`, those that no sequence holds: free until they are taken.
  int64_t num_unreferenced = 0;
  // The next block is being computed by another sequence: soon more will match.
  bool more_to_come = false;
};

}  // namespace glmoe
