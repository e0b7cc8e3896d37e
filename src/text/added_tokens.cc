#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"

namespace glmoe {
namespace {

bool is_white_space(uint32_t c) { return is_python_space(c) && !(c >= 0x1C && c <= 0x1F); }

size_t previous_character(std::string_view text, size_t position) {
  do --position;
  while (position > 0 && (static_cast<uint8_t>(text[position]) & 0xC0) == 0x80);
  return position;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    by_id_[token.id] = i;
    by_content_[token.content] = token.id;
    (token.normalized ? normalized_ : raw_).insert(token.content, static_cast<int32_t>(i));
    if (token.single_word && !word_) {
      word_.emplace("[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]", "word characters");
    }
  }
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

std::optional<int32_t> AddedTokens::id_of(std::string_view content) const {
  const auto it = by_content_.find(content);
  if (it == by_content_.end()) return std::nullopt;
  return it->second;
}

bool AddedTokens::adjust(std::string_view input, size_t done, Span& span,
                         RegexScratch& scratch) const {
  const AddedToken& token = tokens_[static_cast<size_t>(span.token)];
  if (token.single_word) {
    const auto is_word = [&](size_t begin, size_t end) {
      Regex::Match match;
      return word_->find(input.substr(begin, end - begin), 0, scratch, match);
    };
    size_t after = span.end;
    if (span.end < input.size()) next_code_point(input, after);
    const size_t before = span.begin > 0 ? previous_character(input, span.begin) : 0;
    if (is_word(before, span.begin) || is_word(span.end, after)) return false;
  }
  if (token.lstrip) {
    size_t begin = span.begin;
    while (begin > done) {
      size_t position = previous_character(input, begin);
      const size_t character = position;
      if (character < done || !is_white_space(next_code_point(input, position))) break;
      begin = character;
    }
    span.begin = begin;
  }
  if (token.rstrip) {
    size_t position = span.end;
    while (position < input.size() && is_white_space(next_code_point(input, position))) {
      span.end = position;
    }
  }
  return true;
}

void AddedTokens::Trie::insert(std::string_view content, int32_t token) {
  if (nodes_.empty()) nodes_.emplace_back();
  int32_t node = 0;
  for (size_t i = 0; i < content.size(); ++i) {
    const auto byte = static_cast<uint8_t>(content[i]);
    int32_t next = i == 0 ? roots_[byte] : child(node, byte);
    if (next == 0) {
      next = static_cast<int32_t>(nodes_.size());
      nodes_.emplace_back();
      if (i == 0) {
        roots_[byte] = next;
      } else {
        auto& edges = nodes_[static_cast<size_t>(node)].next;
        edges.insert(std::upper_bound(edges.begin(), edges.end(), std::pair(byte, int32_t{0})),
                     {byte, next});
      }
    }
    node = next;
  }
  nodes_[static_cast<size_t>(node)].token = token;
}

int32_t AddedTokens::Trie::child(int32_t node, uint8_t byte) const {
  const auto& edges = nodes_[static_cast<size_t>(node)].next;
  const auto it = std::lower_bound(edges.begin(), edges.end(), std::pair(byte, int32_t{0}));
  return it != edges.end() && it->first == byte ? it->second : 0;
}

bool AddedTokens::Trie::find(std::string_view input, size_t start, Span& span) const {
  if (nodes_.empty()) return false;
  for (size_t begin = start; begin < input.size(); ++begin) {
    int32_t node = roots_[static_cast<uint8_t>(input[begin])];
    if (node == 0) continue;
    int32_t found = -1;
    size_t end = begin + 1, found_end = 0;
    while (true) {
      if (const int32_t token = nodes_[static_cast<size_t>(node)].token; token >= 0) {
        found = token;
        found_end = end;
      }
      if (end >= input.size()) break;
      node = child(node, static_cast<uint8_t>(input[end]));
      if (node == 0) break;
      ++end;
    }
    if (found >= 0) {
      span = {begin, found_end, found};
      return true;
    }
  }
  return false;
}

}  // namespace glmoe
