// Text <-> token ids: byte-level BPE, exactly as Hugging Face's `tokenizers` does it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glmoe {

// Immutable and safe to use from any number of threads. Cheap to move, not to copy.
class Tokenizer {
 public:
  // Reads tokenizer.json, and added tokens that only tokenizer_config.json lists. Throws kNotFound
  // without tokenizer.json, kCorrupt for a malformed one (file and field named), kUnsupported for
  // a model or a step that GLM-4 tokenizers do not have. "truncation" and "padding" are ignored, as
  // Hugging Face's `transformers` sets them for each call.
  static Tokenizer from_folder(const std::string& folder);
  // Whether the folder has a tokenizer.json.
  static bool present_in(const std::string& folder);
  // The same from memory; `what` names the text in messages.
  static Tokenizer from_json(std::string_view tokenizer_json, std::string_view config_json = {},
                             const std::string& what = "tokenizer.json");

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Token ids of UTF-8 text; nothing is added before or after it. With parse_special, added tokens
  // (<|user|>, <think>, ...) in the text become their ids; without, all of it is plain text.
  // Throws kInvalidArgument for malformed UTF-8 (with the byte's offset) and above 2^31 - 1 bytes.
  std::vector<int32_t> encode(std::string_view text, bool parse_special = true) const;
  // With added tokens, but the ordinary text between them is encoded without the `fillers` (not
  // empty) in it: an added token that a filler breaks up stays text. Throws as encode.
  std::vector<int32_t> encode_without(std::string_view text,
                                      std::span<const std::string> fillers) const;

  // Text of token ids; malformed UTF-8 comes out as U+FFFD, ids without a token as nothing.
  // skip_special leaves out tokens for which is_special() holds.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  // The raw bytes that one token decodes to (perhaps part of a character); empty for an id without
  // a token. The view lives as long as the tokenizer.
  std::string_view token_bytes(int32_t id) const;
  // Id of the added token with this content, else of the vocabulary's token for exactly these
  // bytes.
  std::optional<int32_t> token_id(std::string_view text) const;
  bool has_token(int32_t id) const;
  // Added tokens that are flagged special (<|user|> is; in published models <think> is not).
  bool is_special(int32_t id) const;
  bool is_added(int32_t id) const;
  std::vector<std::string> added_tokens() const;  // their contents
  // Largest id + 1. May be smaller than the model's vocab_size, which is padded.
  int64_t vocab_size() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace glmoe
