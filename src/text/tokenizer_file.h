// tokenizer.json as data. Vocabulary and merges, which make up nearly all of the file, go straight
// from the parser into flat arrays; the small rest becomes ordinary JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace glmoe {

// Many strings in one piece of memory.
class StringPool {
 public:
  size_t size() const { return ends_.size(); }
  size_t bytes() const { return text_.size(); }
  std::string_view operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }
  void add(std::string_view text) {
    text_.append(text);
    ends_.push_back(text_.size());
  }

 private:
  std::string text_;
  std::vector<size_t> ends_;
};

struct TokenizerFile {
  std::string what;  // names the file in messages
  Json rest;         // everything but model.vocab and model.merges
  StringPool vocab;  // spellings, as in the file
  std::vector<int32_t> vocab_ids;
  StringPool merges;  // left, right, left, right, ... as in the file
};

// Limits on a file from outside; beyond them it is refused as kCorrupt.
constexpr int64_t kMaxTokenId = (int64_t{1} << 24) - 1;
constexpr size_t kMaxTokenBytes = size_t{1} << 16;

// Throws kCorrupt naming `what` and the field for malformed JSON, duplicate keys, ids that are not
// whole numbers within [0, kMaxTokenId], and tokens longer than kMaxTokenBytes.
TokenizerFile parse_tokenizer_json(std::string_view text, std::string what);

}  // namespace glmoe
