// A tokenizer.json from outside, then text of the same input: a file is refused with an error or
// gives a tokenizer that encodes well-formed UTF-8 to ids it knows, and decodes without harm. The
// input is "<tokenizer.json>\0<text>"; where no \0 is, a built-in tokenizer encodes all of it.
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "text/byte_level.h"
#include "text/incremental_decoder.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace glmoe {
namespace {

// GLM-4's steps with all single bytes, a few merges and a few added tokens.
Tokenizer built_in() {
  const ByteAlphabet alphabet;
  Json vocab = Json::object(), merges = Json::array();
  for (int byte = 0; byte < 256; ++byte) {
    vocab[alphabet.spelling(std::string(1, static_cast<char>(byte)))] = byte;
  }
  for (const auto& [left, right] : {std::pair{"a", "a"}, {"aa", "aa"}, {"Ġ", "a"}, {"b", "aa"}}) {
    vocab[std::string(left) + right] = vocab.size();
    merges.push_back({left, right});
  }
  const Json added = {{{"id", 300}, {"content", "<|u|>"}, {"special", true}},
                      {{"id", 301}, {"content", "<t>"}, {"special", false}, {"lstrip", true}},
                      {{"id", 302}, {"content", "ab"}, {"single_word", true}, {"rstrip", true}}};
  const Json split = {
      {"type", "Split"},
      {"behavior", "Isolated"},
      {"pattern",
       {{"Regex",
         R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}}}};
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const Json json = {
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}, {"ignore_merges", true}}},
      {"added_tokens", added},
      {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}}},
      {"decoder", {{"type", "ByteLevel"}}}};
  return Tokenizer::from_json(json.dump());
}

void check(bool holds) {
  if (!holds) __builtin_trap();
}

void encode_and_decode(const Tokenizer& tokenizer, std::string_view text, bool lossless) {
  for (const bool parse_special : {false, true}) {
    std::vector<int32_t> ids;
    try {
      ids = tokenizer.encode(text, parse_special);
    } catch (const Error& error) {
      check(error.code() == ErrorCode::kInvalidArgument);
      check(!lossless || find_invalid_utf8(text).has_value());
      continue;
    }
    check(!find_invalid_utf8(text).has_value());
    IncrementalDecoder decoder(&tokenizer);
    std::string pieces;
    for (const int32_t id : ids) {
      check(tokenizer.has_token(id));
      pieces += decoder.feed(id);
    }
    pieces += decoder.flush();
    const std::string decoded = tokenizer.decode(ids);
    check(pieces == decoded);
    // Added tokens may take white space along, which is then lost.
    if (lossless && !parse_special) check(decoded == text);
  }
}

}  // namespace
}  // namespace glmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t border = input.find('\0');
  if (border == std::string_view::npos) {
    static const glmoe::Tokenizer tokenizer = glmoe::built_in();
    glmoe::encode_and_decode(tokenizer, input, true);
    return 0;
  }
  try {
    const auto tokenizer = glmoe::Tokenizer::from_json(input.substr(0, border));
    glmoe::encode_and_decode(tokenizer, input.substr(border + 1), false);
  } catch (const glmoe::Error& error) {
    if (error.code() == glmoe::ErrorCode::kInternal) __builtin_trap();
  }
  return 0;
}
