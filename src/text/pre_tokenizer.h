// Cuts text into the pieces that BPE works on, as tokenizer.json's "pre_tokenizer" says.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/regex.h"
#include "text/unicode.h"

namespace glmoe {

// The pattern of GLM-4's tokenizers, and GPT-2's, which ByteLevel brings along.
extern const std::string_view kGlmPattern;
extern const std::string_view kGpt2Pattern;

// Splits like kGlmPattern without a regular expression engine: the end of the piece that begins at
// `begin` (begin < text.size()). Every character belongs to a piece, so pieces follow each other.
class GlmSplitter {
 public:
  size_t piece_end(std::string_view text, size_t begin) const;

 private:
  struct Char {
    CharClass kind;
    size_t end;  // offset after it
  };
  Char at(std::string_view text, size_t position) const;
  size_t skip(std::string_view text, size_t position, CharClass kind) const;
  size_t piece_of_spaces(std::string_view text, size_t begin) const;

  CharClasses classes_;
};

class PreTokenizer {
 public:
  PreTokenizer() = default;
  // `json` is the "pre_tokenizer" value. Throws kUnsupported naming a kind or option that is not
  // supported, kCorrupt for a malformed one.
  PreTokenizer(const Json& json, const std::string& what);

  // Calls sink(piece) for each piece of `text` in order. Well-formed UTF-8 only.
  template <class Sink>
  void split(std::string_view text, RegexScratch& scratch, Sink&& sink) const {
    split_from(0, text, scratch, sink);
  }

 private:
  using Step = std::optional<Regex>;  // nullopt: the GLM pattern, split by glm_

  void add(const Json& json, const std::string& what, bool& byte_level);
  void add_split(const Json& json, const std::string& what);

  template <class Sink>
  void split_from(size_t step, std::string_view text, RegexScratch& scratch, Sink&& sink) const {
    if (step == steps_.size()) {
      if (!text.empty()) sink(text);
      return;
    }
    size_t position = 0;
    if (!steps_[step]) {
      while (position < text.size()) {
        const size_t end = glm_->piece_end(text, position);
        const auto piece = text.substr(position, end - position);
        if (step + 1 == steps_.size()) {
          sink(piece);
        } else {
          split_from(step + 1, piece, scratch, sink);
        }
        position = end;
      }
      return;
    }
    // Matches are pieces, and so is what lies between them; empty matches are passed over.
    size_t search = 0;
    Regex::Match match;
    while (search <= text.size() && steps_[step]->find(text, search, scratch, match)) {
      if (match.begin == match.end) {
        search = match.end;
        if (search >= text.size()) break;
        next_code_point(text, search);
        continue;
      }
      split_from(step + 1, text.substr(position, match.begin - position), scratch, sink);
      split_from(step + 1, text.substr(match.begin, match.end - match.begin), scratch, sink);
      position = search = match.end;
    }
    split_from(step + 1, text.substr(position), scratch, sink);
  }

  std::vector<Step> steps_;
  std::optional<GlmSplitter> glm_;
};

}  // namespace glmoe
