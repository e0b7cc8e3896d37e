// Byte-pair encoding over raw bytes: the vocabulary and the merges of tokenizer.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_file.h"

namespace glmoe {

// Working memory of one encoding thread; kept so that encoding a piece allocates nothing.
struct BpeScratch {
  struct Symbol {
    int32_t id;
    int32_t previous, next;  // -1: none
  };
  struct Candidate {
    uint32_t rank;
    uint32_t position;
    int32_t merged;
    bool operator<(const Candidate& other) const {  // for a heap with the smallest on top
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

class Bpe {
 public:
  Bpe() = default;
  // Throws kCorrupt for duplicate ids and merges whose tokens are not in the vocabulary,
  // kUnsupported for a vocabulary without all the single bytes of UTF-8.
  Bpe(const TokenizerFile& file, bool ignore_merges);

  // Appends the token ids of `piece` (a pre-token's raw bytes, not empty).
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const;

  // Id of the token that stands for exactly these bytes.
  std::optional<int32_t> find(std::string_view bytes) const;
  // Bytes of a token; of a spelling outside the byte alphabet, the spelling itself. Empty for an id
  // without a token.
  std::string_view bytes_of(int32_t id) const {
    return has(id) ? tokens_[static_cast<size_t>(index_of_[id])] : std::string_view();
  }
  bool has(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < index_of_.size() && index_of_[id] >= 0;
  }
  int64_t end_id() const { return static_cast<int64_t>(index_of_.size()); }  // largest id + 1

 private:
  struct Merge {
    uint64_t pair;  // left id << 32 | right id; kEmpty: a free slot
    uint32_t rank;
    int32_t merged;
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};

  void add_tokens(const TokenizerFile& file);
  void add_merges(const TokenizerFile& file);
  const Merge* find_merge(int32_t left, int32_t right) const;
  void encode_short(std::string_view piece, std::vector<int32_t>& ids) const;
  void encode_long(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const;

  StringPool tokens_;              // raw bytes
  std::vector<int32_t> index_of_;  // by id, into tokens_; -1: no token
  std::vector<int32_t> slots_;     // hash table from bytes to id; -1: free
  std::vector<Merge> merges_;      // hash table
  int32_t byte_ids_[256] = {};
  bool ignore_merges_ = false;
};

// Hash of a short byte string; the same on every run.
uint64_t hash_bytes(std::string_view bytes);

}  // namespace glmoe
