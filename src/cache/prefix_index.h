// Which block holds the prefix with this hash: an open-addressing table of fixed size, because the
// number of blocks is fixed and a lookup is on the path of every step.
#pragma once

#include <cstdint>
#include <vector>

#include "base/huge_pages.h"
#include "cache/prefix_hash.h"

namespace glmoe {

class PrefixIndex {
 public:
  // Holds at most `capacity` entries.
  explicit PrefixIndex(int64_t capacity);

  int32_t find(const PrefixHash& hash) const;  // -1: none
  // The hash is not there yet.
  void insert(const PrefixHash& hash, int32_t block);
  // The hash is there.
  void erase(const PrefixHash& hash);
  // Brings the place of the hash into the processor's cache.
  void prefetch(const PrefixHash& hash) const { __builtin_prefetch(&entries_[home(hash)], 1); }
  int64_t size() const { return size_; }

 private:
  struct Entry {
    PrefixHash hash;
    int32_t block = -1;
  };
  size_t home(const PrefixHash& hash) const { return hash.low & mask_; }
  size_t slot_of(const PrefixHash& hash) const;  // of the entry, or of the empty place for it

  std::vector<Entry, HugePageAllocator<Entry>> entries_;
  size_t mask_;
  int64_t size_ = 0;
};

}  // namespace glmoe
