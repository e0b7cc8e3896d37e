// Added tokens: whole strings such as <|user|> that are found in the raw text before anything else.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/regex.h"

namespace glmoe {

struct AddedToken {
  int32_t id = -1;
  std::string content;  // UTF-8
  std::string bytes;    // what it decodes to; the content, for all but exotic tokens
  bool special = false;
  bool normalized = false;
  bool single_word = false;  // only between characters that are not part of a word
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
};

// Finds the leftmost token, and the longest of those that begin there; as Hugging Face does, tokens
// with `normalized` are looked for in what the others leave over. Thread-safe once built.
class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Calls text(part) for runs of ordinary text (never empty) and token(id) for tokens, in order.
  template <class Text, class Token>
  void split(std::string_view input, RegexScratch& scratch, Text&& text, Token&& token) const {
    const auto rest = [&](std::string_view part) {
      normalized_.split(part, *this, scratch, text, token);
    };
    raw_.split(input, *this, scratch, rest, token);
  }

  const AddedToken* find(int32_t id) const;
  std::optional<int32_t> id_of(std::string_view content) const;
  int64_t end_id() const { return by_id_.empty() ? 0 : by_id_.rbegin()->first + 1; }
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  struct Span {
    size_t begin, end;
    int32_t token;  // index into tokens_
  };
  // A byte-wise prefix tree over some of the tokens.
  class Trie {
   public:
    void insert(std::string_view content, int32_t token);
    template <class Text, class Token>
    void split(std::string_view input, const AddedTokens& owner, RegexScratch& scratch, Text&& text,
               Token&& token) const {
      size_t done = 0, search = 0;
      Span span;
      while (find(input, search, span)) {
        search = span.end;
        if (!owner.adjust(input, done, span, scratch)) continue;
        if (span.begin > done) text(input.substr(done, span.begin - done));
        token(owner.tokens_[static_cast<size_t>(span.token)].id);
        done = span.end;
        search = std::max(search, done);
      }
      if (done < input.size()) text(input.substr(done));
    }

   private:
    bool find(std::string_view input, size_t start, Span& span) const;
    struct Node {
      std::vector<std::pair<uint8_t, int32_t>> next;  // few; sorted by byte
      int32_t token = -1;
    };
    int32_t child(int32_t node, uint8_t byte) const;
    std::vector<Node> nodes_;
    int32_t roots_[256] = {};  // node reached by the first byte; 0: none
  };

  // Applies single_word, lstrip and rstrip to a match; false where it does not count.
  bool adjust(std::string_view input, size_t done, Span& span, RegexScratch& scratch) const;

  std::vector<AddedToken> tokens_;
  std::map<int32_t, size_t> by_id_;
  std::map<std::string, int32_t, std::less<>> by_content_;
  Trie raw_, normalized_;
  std::optional<Regex> word_;  // one character of a word; only where a token asks for it
};

}  // namespace glmoe
