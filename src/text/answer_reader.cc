#include "text/answer_reader.h"

#include <algorithm>

namespace glmoe {
namespace {

bool ended_by_token(const OutputDelta& delta) {
  return delta.finish_reason == FinishReason::kStop && !delta.token_ids.empty() &&
         delta.stop_reason == std::to_string(delta.token_ids.back());
}

}  // namespace

bool AnswerReader::add(const OutputDelta& delta) {
  IncrementalDecoder& decoder = delta.skip_special_tokens ? skipping_ : kept_;
  const bool by_token = ended_by_token(delta);
  const size_t count = delta.token_ids.size() - (by_token ? 1 : 0);
  for (size_t i = 0; i < count; ++i) add_token(delta.token_ids[i], decoder);
  released_ += delta.text.size();
  if (delta.finish_reason != FinishReason::kNone) {
    const std::string rest = decoder.flush();
    decoded_ += rest;
    entries_.push_back({.text_bytes = rest.size(), .is_token = false});
  }
  return by_token;
}

void AnswerReader::add_token(int32_t id, IncrementalDecoder& decoder) {
  const std::string piece = decoder.feed(id);
  Entry entry{.text_bytes = piece.size(), .markup = markup_.of(id)};
  if (entry.markup != Markup::kNone) {
    entry.markup_bytes = std::min(piece.size(), tokenizer_.token_bytes(id).size());
    entry.text_bytes -= entry.markup_bytes;
  }
  decoded_ += piece;
  entries_.push_back(entry);
}

AnswerReader::CutMarkup AnswerReader::cut_markup() const {
  if (entries_.empty() || entries_.front().text_bytes > 0) return {};
  return {entries_.front().markup, std::string_view(decoded_).substr(0, released_)};
}

size_t AnswerReader::released_part(size_t position, size_t wanted) const {
  if (released_ >= wanted) return wanted;
  size_t part = released_;
  while (part > 0 && (static_cast<uint8_t>(decoded_[position + part]) & 0xC0) == 0x80) --part;
  return part;
}

}  // namespace glmoe
