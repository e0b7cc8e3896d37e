// Remembers the token ids of pieces already encoded. One to a thread, so there is no lock; bounded,
// and emptied when full (natural text refills it within a few kilobytes).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glmoe {

class PieceCache {
 public:
  static constexpr size_t kMaxPieceBytes = 64;

  // Appends the ids of `piece` and returns true, where they are known. `hash` is hash_bytes(piece).
  bool append(std::string_view piece, uint64_t hash, std::vector<int32_t>& ids) const {
    if (slots_.empty()) return false;
    for (size_t i = hash & kMask; slots_[i].length != 0; i = (i + 1) & kMask) {
      const Slot& slot = slots_[i];
      if (slot.hash != static_cast<uint32_t>(hash >> 32) || slot.length != piece.size() ||
          std::memcmp(keys_.data() + slot.key, piece.data(), piece.size()) != 0) {
        continue;
      }
      const int32_t* first = slot.count <= kInline ? slot.ids : ids_.data() + slot.ids[0];
      if (slot.count == 1) {
        ids.push_back(*first);
      } else {
        ids.insert(ids.end(), first, first + slot.count);
      }
      return true;
    }
    return false;
  }

  // Remembers a piece of 1 to kMaxPieceBytes bytes that append() did not know.
  void insert(std::string_view piece, uint64_t hash, std::span<const int32_t> ids) {
    if (slots_.empty() || used_ >= kSlots / 2) clear();
    size_t i = hash & kMask;
    while (slots_[i].length != 0) i = (i + 1) & kMask;
    Slot& slot = slots_[i];
    slot.hash = static_cast<uint32_t>(hash >> 32);
    slot.key = static_cast<uint32_t>(keys_.size());
    slot.length = static_cast<uint16_t>(piece.size());
    slot.count = static_cast<uint16_t>(ids.size());
    keys_.append(piece);
    if (ids.size() <= kInline) {
      std::copy(ids.begin(), ids.end(), slot.ids);
    } else {
      slot.ids[0] = static_cast<int32_t>(ids_.size());
      ids_.insert(ids_.end(), ids.begin(), ids.end());
    }
    ++used_;
  }

 private:
  static constexpr size_t kSlots = size_t{1} << 15;  // 1 MiB
  static constexpr size_t kMask = kSlots - 1;
  static constexpr size_t kInline = 5;
  struct Slot {
    uint32_t hash;
    uint32_t key;
    uint16_t length;  // 0: free
    uint16_t count;
    int32_t ids[kInline];  // ids[0] is an index into ids_ where there are more
  };
  static_assert(sizeof(Slot) == 32);

  void clear() {
    slots_.assign(kSlots, Slot{});
    keys_.clear();
    ids_.clear();
    used_ = 0;
  }

  std::vector<Slot> slots_;
  std::string keys_;
  std::vector<int32_t> ids_;
  size_t used_ = 0;
};

}  // namespace glmoe
