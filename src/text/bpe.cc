#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "text/byte_level.h"

namespace glmoe {
namespace {

// Up to this many bytes a quadratic search for the best pair is faster than the heap.
constexpr size_t kShortPiece = 32;

uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t load(const char* p, size_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, p, bytes);
  return word;
}

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

size_t slot_of(uint64_t pair, size_t mask) {
  return static_cast<size_t>(mix(pair, 0x9E3779B97F4A7C15ull)) & mask;
}

// Bytes that never occur in UTF-8 need no token.
bool occurs_in_utf8(int byte) { return byte < 0xC0 || (byte >= 0xC2 && byte <= 0xF4); }

}  // namespace

uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t k0 = 0xA0761D6478BD642Full, k1 = 0xE7037ED1A0B428DBull;
  const char* p = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = k0 ^ left;
  while (left > 16) {
    hash = mix(load(p, 8) ^ k1, load(p + 8, 8) ^ hash);
    p += 16;
    left -= 16;
  }
  uint64_t a = 0, b = 0;
  if (left >= 8) {
    a = load(p, 8);
    b = load(p + left - 8, 8);
  } else if (left >= 4) {
    a = load(p, 4);
    b = load(p + left - 4, 4);
  } else if (left > 0) {
    a = static_cast<uint8_t>(p[0]) | static_cast<uint64_t>(static_cast<uint8_t>(p[left / 2])) << 8 |
        static_cast<uint64_t>(static_cast<uint8_t>(p[left - 1])) << 16;
  }
  return mix(a ^ k1, b ^ hash);
}

Bpe::Bpe(const TokenizerFile& file, bool ignore_merges) : ignore_merges_(ignore_merges) {
  add_tokens(file);
  add_merges(file);
}

void Bpe::add_tokens(const TokenizerFile& file) {
  GLMOE_CHECK_EQ(file.vocab.size(), file.vocab_ids.size());
  const ByteAlphabet alphabet;
  int32_t end = 0;
  for (const int32_t id : file.vocab_ids) end = std::max(end, id + 1);
  index_of_.assign(static_cast<size_t>(end), -1);
  slots_.assign(std::bit_ceil(file.vocab.size() * 2 + 1), -1);
  const size_t mask = slots_.size() - 1;
  std::string bytes;
  for (size_t i = 0; i < file.vocab.size(); ++i) {
    const int32_t id = file.vocab_ids[i];
    if (index_of_[id] >= 0) {
      fail(ErrorCode::kCorrupt, "{}: field 'model.vocab': tokens '{}' and '{}' have the same id {}",
           file.what, file.vocab[static_cast<size_t>(index_of_[id])], file.vocab[i], id);
    }
    index_of_[id] = static_cast<int32_t>(i);
    bytes.clear();
    if (!alphabet.append_bytes(file.vocab[i], bytes)) {
      tokens_.add(file.vocab[i]);  // decoded as it is spelled; no text can lead to it
      continue;
    }
    tokens_.add(bytes);
    size_t slot = hash_bytes(bytes) & mask;
    while (slots_[slot] >= 0) {
      if (bytes_of(slots_[slot]) == bytes) {
        fail(ErrorCode::kCorrupt, "{}: field 'model.vocab': token '{}' appears twice", file.what,
             file.vocab[i]);
      }
      slot = (slot + 1) & mask;
    }
    slots_[slot] = id;
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto id = find(std::string_view(&c, 1));
    if (!id && occurs_in_utf8(byte)) {
      fail(ErrorCode::kUnsupported,
           "{}: field 'model.vocab': no token for the single byte 0x{:02X}; a byte-level "
           "vocabulary with all bytes is needed",
           file.what, byte);
    }
    byte_ids_[byte] = id.value_or(-1);
  }
}

void Bpe::add_merges(const TokenizerFile& file) {
  const size_t count = file.merges.size() / 2;
  merges_.assign(std::bit_ceil(count * 2 + 1), Merge{kEmpty, 0, -1});
  const size_t mask = merges_.size() - 1;
  const ByteAlphabet alphabet;
  std::string bytes;
  const auto token = [&](size_t merge, std::string_view text) {
    const auto id = find(text);
    if (!id) {
      fail(ErrorCode::kCorrupt,
           "{}: field 'model.merges', entry {} ('{} {}'): '{}' is not in the vocabulary", file.what,
           merge, file.merges[2 * merge], file.merges[2 * merge + 1], alphabet.spelling(text));
    }
    return *id;
  };
  for (size_t i = 0; i < count; ++i) {
    bytes.clear();
    bool known = alphabet.append_bytes(file.merges[2 * i], bytes);
    const size_t split = bytes.size();
    known = known && alphabet.append_bytes(file.merges[2 * i + 1], bytes);
    if (!known) {
      fail(ErrorCode::kUnsupported,
           "{}: field 'model.merges', entry {} ('{} {}') has characters outside the byte-level "
           "alphabet",
           file.what, i, file.merges[2 * i], file.merges[2 * i + 1]);
    }
    const std::string_view whole = bytes;
    const int32_t left = token(i, whole.substr(0, split));
    const int32_t right = token(i, whole.substr(split));
    const uint64_t pair = pair_of(left, right);
    size_t slot = slot_of(pair, mask);
    while (merges_[slot].pair != kEmpty && merges_[slot].pair != pair) slot = (slot + 1) & mask;
    merges_[slot] = {pair, static_cast<uint32_t>(i), token(i, whole)};
  }
}

std::optional<int32_t> Bpe::find(std::string_view bytes) const {
  if (slots_.empty()) return std::nullopt;
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash_bytes(bytes) & mask; slots_[slot] >= 0; slot = (slot + 1) & mask) {
    if (bytes_of(slots_[slot]) == bytes) return slots_[slot];
  }
  return std::nullopt;
}

const Bpe::Merge* Bpe::find_merge(int32_t left, int32_t right) const {
  const uint64_t pair = pair_of(left, right);
  const size_t mask = merges_.size() - 1;
  for (size_t slot = slot_of(pair, mask);; slot = (slot + 1) & mask) {
    if (merges_[slot].pair == pair) return &merges_[slot];
    if (merges_[slot].pair == kEmpty) return nullptr;
  }
}

void Bpe::encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const {
  if (piece.size() == 1) {
    ids.push_back(byte_ids_[static_cast<uint8_t>(piece[0])]);
    return;
  }
  if (ignore_merges_) {
    if (const auto id = find(piece)) {
      ids.push_back(*id);
      return;
    }
  }
  if (piece.size() <= kShortPiece) {
    encode_short(piece, ids);
  } else {
    encode_long(piece, scratch, ids);
  }
}

void Bpe::encode_short(std::string_view piece, std::vector<int32_t>& ids) const {
  constexpr uint32_t kNone = ~uint32_t{0};
  int32_t symbols[kShortPiece];
  uint32_t ranks[kShortPiece];  // of the pair (i, i + 1)
  int32_t merged[kShortPiece];
  size_t count = piece.size();
  for (size_t i = 0; i < count; ++i) symbols[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
  const auto rate = [&](size_t i) {
    ranks[i] = kNone;
    if (i + 1 >= count) return;
    if (const Merge* merge = find_merge(symbols[i], symbols[i + 1])) {
      ranks[i] = merge->rank;
      merged[i] = merge->merged;
    }
  };
  for (size_t i = 0; i < count; ++i) rate(i);
  while (count > 1) {
    const size_t best = static_cast<size_t>(std::min_element(ranks, ranks + count - 1) - ranks);
    if (ranks[best] == kNone) break;
    symbols[best] = merged[best];
    const size_t tail = count - best - 2;
    std::memmove(symbols + best + 1, symbols + best + 2, tail * sizeof(symbols[0]));
    std::memmove(ranks + best + 1, ranks + best + 2, tail * sizeof(ranks[0]));
    std::memmove(merged + best + 1, merged + best + 2, tail * sizeof(merged[0]));
    --count;
    rate(best);
    if (best > 0) rate(best - 1);
  }
  ids.insert(ids.end(), symbols, symbols + count);
}

void Bpe::encode_long(std::string_view piece, BpeScratch& scratch,
                      std::vector<int32_t>& ids) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.clear();
  heap.clear();
  const auto count = static_cast<int32_t>(piece.size());
  for (int32_t i = 0; i < count; ++i) {
    symbols.push_back(
        {byte_ids_[static_cast<uint8_t>(piece[i])], i - 1, i + 1 < count ? i + 1 : -1});
  }
  const auto offer = [&](int32_t position) {
    const int32_t next = position < 0 ? -1 : symbols[position].next;
    if (next < 0) return false;
    const Merge* merge = find_merge(symbols[position].id, symbols[next].id);
    if (merge == nullptr) return false;
    heap.push_back({merge->rank, static_cast<uint32_t>(position), merge->merged});
    return true;
  };
  for (int32_t i = 0; i + 1 < count; ++i) offer(i);
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const auto top = heap.back();
    heap.pop_back();
    auto& left = symbols[top.position];
    if (left.id < 0 || left.next < 0) continue;
    // An entry is stale when either side has been merged since it was offered.
    const Merge* merge = find_merge(left.id, symbols[left.next].id);
    if (merge == nullptr || merge->merged != top.merged) continue;
    auto& right = symbols[left.next];
    left.id = top.merged;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = static_cast<int32_t>(top.position);
    if (offer(static_cast<int32_t>(top.position))) std::push_heap(heap.begin(), heap.end());
    if (offer(left.previous)) std::push_heap(heap.begin(), heap.end());
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace glmoe
