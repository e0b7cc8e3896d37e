#include "cache/prefix_index.h"

#include <bit>

#include "base/check.h"

namespace glmoe {

// At most half full: a probe looks at one or two entries.
PrefixIndex::PrefixIndex(int64_t capacity)
    : entries_(std::bit_ceil(2 * static_cast<size_t>(capacity))), mask_(entries_.size() - 1) {}

size_t PrefixIndex::slot_of(const PrefixHash& hash) const {
  size_t slot = home(hash);
  while (entries_[slot].block >= 0 && entries_[slot].hash != hash) slot = (slot + 1) & mask_;
  return slot;
}

int32_t PrefixIndex::find(const PrefixHash& hash) const { return entries_[slot_of(hash)].block; }

void PrefixIndex::insert(const PrefixHash& hash, int32_t block) {
  Entry& entry = entries_[slot_of(hash)];
  GLMOE_CHECK(entry.block < 0, "block {} has the hash of block {}", block, entry.block);
  entry = {.hash = hash, .block = block};
  ++size_;
}

// What follows is moved up, so that no search ends early at the hole.
void PrefixIndex::erase(const PrefixHash& hash) {
  size_t hole = slot_of(hash);
  GLMOE_CHECK(entries_[hole].block >= 0, "a prefix that is not in the index");
  for (size_t next = (hole + 1) & mask_; entries_[next].block >= 0; next = (next + 1) & mask_) {
    const size_t probes = (next - home(entries_[next].hash)) & mask_;
    if (probes < ((next - hole) & mask_)) continue;  // its home lies behind the hole
    entries_[hole] = entries_[next];
    hole = next;
  }
  entries_[hole] = {};
  --size_;
}

}  // namespace glmoe
