#include "text/incremental_decoder.h"

#include "text/unicode.h"

namespace glmoe {

std::string IncrementalDecoder::feed(int32_t token) {
  std::string text;
  if (tokenizer_ == nullptr || (skip_special_ && tokenizer_->is_special(token))) return text;
  pending_ += tokenizer_->token_bytes(token);
  pending_.erase(0, append_lossy_utf8(text, pending_, false));
  return text;
}

std::string IncrementalDecoder::flush() {
  std::string text;
  append_lossy_utf8(text, pending_, true);
  pending_.clear();
  return text;
}

}  // namespace glmoe
