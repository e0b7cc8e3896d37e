// Pairs an answer's tokens with the text that the engine has released of them. Stop strings hold
// text back or cut it, so a token counts only once its own text is out.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "glmoe/output.h"
#include "text/chat_markup.h"
#include "text/incremental_decoder.h"

namespace glmoe {

class AnswerReader {
 public:
  // Both must outlive the reader.
  AnswerReader(const Tokenizer& tokenizer, const ChatMarkup& markup)
      : tokenizer_(tokenizer),
        markup_(markup),
        kept_(&tokenizer, false),
        skipping_(&tokenizer, true) {}

  // Takes a delta's tokens and the length of its text. True where it ends the answer by a token
  // (the model's end token, or one of the request's stop_token_ids), which itself is left out.
  bool add(const OutputDelta& delta);

  // Gives what has been released, in order: sink.text(piece), sink.markup(which, its text) and,
  // after each whole token, sink.token(). Pieces are whole UTF-8; markup's text is empty where the
  // request skips special tokens and it is one.
  template <class Sink>
  void drain(Sink&& sink) {
    size_t position = 0;
    while (!entries_.empty()) {
      Entry& entry = entries_.front();
      const size_t text = released_part(position, entry.text_bytes);
      if (text > 0) sink.text(std::string_view(decoded_).substr(position, text));
      position += text;
      released_ -= text;
      entry.text_bytes -= text;
      if (entry.text_bytes > 0 || entry.markup_bytes > released_) break;
      if (entry.markup != Markup::kNone) {
        sink.markup(entry.markup, std::string_view(decoded_).substr(position, entry.markup_bytes));
      }
      position += entry.markup_bytes;
      released_ -= entry.markup_bytes;
      if (entry.is_token) sink.token();
      entries_.pop_front();
    }
    decoded_.erase(0, position);
  }

  // At the end of the answer: the part of a tag that was released because it is a stop string which
  // the request wants to see. Empty nearly always.
  struct CutMarkup {
    Markup markup = Markup::kNone;
    std::string_view part;
  };
  CutMarkup cut_markup() const;

 private:
  struct Entry {
    size_t text_bytes = 0;  // of decoded_; perhaps U+FFFD for what an earlier token left unfinished
    size_t markup_bytes = 0;  // behind them
    Markup markup = Markup::kNone;
    bool is_token = true;
  };

  void add_token(int32_t id, IncrementalDecoder& decoder);
  // How much of `wanted` bytes at `position` is released, back to the border of a character.
  size_t released_part(size_t position, size_t wanted) const;

  const Tokenizer& tokenizer_;
  const ChatMarkup& markup_;
  IncrementalDecoder kept_, skipping_;  // with the text of special tokens, and without
  std::string decoded_;                 // not given yet
  std::deque<Entry> entries_;           // tokens of decoded_
  size_t released_ = 0;                 // bytes of decoded_ that the engine has released
};

}  // namespace glmoe
