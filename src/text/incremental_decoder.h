// Token ids to text as they come: only whole UTF-8 goes out, bytes of an unfinished character wait.
#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.h"

namespace glmoe {

class IncrementalDecoder {
 public:
  // The tokenizer must outlive the decoder. Without one (nullptr) all text is empty.
  explicit IncrementalDecoder(const Tokenizer* tokenizer, bool skip_special = false)
      : tokenizer_(tokenizer), skip_special_(skip_special) {}

  // Text that the token completes; may be empty. All pieces and flush() together are exactly
  // Tokenizer::decode() of all the ids.
  std::string feed(int32_t token);
  // U+FFFD for an unfinished character at the end; the decoder is then as new.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;  // at most three bytes: the beginning of a character
};

}  // namespace glmoe
