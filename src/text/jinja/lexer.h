// Template source to tokens, with Jinja's rules for white space around tags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace glmoe::jinja {

enum class TokenKind {
  kText,
  kPrintBegin,
  kPrintEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // decoded, for strings; without underscores, for numbers
  int line = 1;
};

// As Hugging Face sets Jinja up: trim_blocks and lstrip_blocks on, one newline at the very end
// dropped. Throws kCorrupt naming `what` and the line.
std::vector<Token> tokenize(std::string_view source, const std::string& what);

}  // namespace glmoe::jinja
