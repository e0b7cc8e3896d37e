#include "text/tokenizer_build.h"

#include <charconv>
#include <set>

#include "base/error.h"
#include "text/byte_level.h"

namespace glmoe {
namespace {

constexpr size_t kMaxAddedTokens = size_t{1} << 16;
constexpr size_t kMaxAddedTokenBytes = 4096;

[[noreturn]] void unsupported(const std::string& what, std::string_view field, const Json& found) {
  fail(ErrorCode::kUnsupported, "{}: field '{}' is {}; byte-level BPE without it is supported",
       what, field, found.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 80));
}

Bpe build_bpe(const TokenizerFile& file) {
  const JsonReader model(file.rest["model"], file.what + ": field 'model'");
  const std::string type = model.string_or("type", "BPE");
  if (type != "BPE") {
    fail(ErrorCode::kUnsupported, "{}: field 'model.type': '{}' is not supported, BPE is",
         file.what, type);
  }
  for (const char* name : {"unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.string_or(name, "").empty()) {
      unsupported(file.what, fmt::format("model.{}", name), model.raw(name));
    }
  }
  if (model.number_or("dropout", 0.0) != 0.0) {
    unsupported(file.what, "model.dropout", model.raw("dropout"));
  }
  if (model.boolean_or("byte_fallback", false)) {
    unsupported(file.what, "model.byte_fallback", true);
  }
  return Bpe(file, model.boolean_or("ignore_merges", false));
}

void check_decoder(const Json& decoder, const std::string& what) {
  const JsonReader reader(decoder, what);
  const std::string type = reader.string("type");
  if (type == "Sequence") {
    const Json& steps = reader.raw("decoders");
    if (steps.is_array() && steps.size() == 1) return check_decoder(steps[0], what);
  }
  if (type != "ByteLevel") {
    fail(ErrorCode::kUnsupported, "{}: type '{}' is not supported, ByteLevel is", what, type);
  }
}

// A template that puts out the text alone adds nothing; any other one would add tokens.
bool template_adds_nothing(const Json& json) {
  if (!json.contains("single") || !json["single"].is_array()) return false;
  for (const Json& part : json["single"]) {
    if (!part.is_object() || !part.contains("Sequence")) return false;
  }
  return true;
}

void check_post_processor(const Json& json, const std::string& what) {
  const JsonReader reader(json, what);
  const std::string type = reader.string("type");
  if (type == "ByteLevel") return;  // concerns offsets only
  if (type == "TemplateProcessing" && template_adds_nothing(json)) return;
  if (type == "Sequence") {
    const Json& steps = reader.raw("processors");
    if (steps.is_array() && steps.size() <= 16) {
      for (const Json& step : steps) {
        if (step.is_object() && step.value("type", Json()) == "Sequence") break;
        check_post_processor(step, what);
      }
      return;
    }
  }
  fail(ErrorCode::kUnsupported,
       "{}: type '{}' that adds tokens is not supported: begin the prompt with them instead", what,
       type);
}

AddedToken read_added_token(const Json& json, const std::string& what) {
  const JsonReader reader(json, what);
  AddedToken token;
  token.content = reader.string("content");
  token.special = reader.boolean_or("special", false);
  token.normalized = reader.boolean_or("normalized", !token.special);
  token.single_word = reader.boolean_or("single_word", false);
  token.lstrip = reader.boolean_or("lstrip", false);
  token.rstrip = reader.boolean_or("rstrip", false);
  if (token.content.size() > kMaxAddedTokenBytes) {
    fail(ErrorCode::kCorrupt, "{}: field 'content' has {} bytes, at most {} are accepted", what,
         token.content.size(), kMaxAddedTokenBytes);
  }
  return token;
}

// The added tokens of both files, checked against the vocabulary and each other.
class AddedTokenList {
 public:
  explicit AddedTokenList(const Bpe& bpe) : bpe_(bpe) {}

  void add(AddedToken token, int64_t id, const std::string& what) {
    if (token.content.empty()) return;  // ignored, as Hugging Face does
    if (id < 0 || id > kMaxTokenId) {
      fail(ErrorCode::kCorrupt, "{}: id {} is not within 0..{}", what, id, kMaxTokenId);
    }
    token.id = static_cast<int32_t>(id);
    if (!alphabet_.append_bytes(token.content, token.bytes)) token.bytes = token.content;
    const auto in_vocab = bpe_.find(token.bytes);
    if ((in_vocab && *in_vocab != token.id) ||
        (bpe_.has(token.id) && bpe_.bytes_of(token.id) != token.bytes)) {
      fail(ErrorCode::kCorrupt, "{}: id {} of '{}' contradicts the vocabulary", what, id,
           token.content);
    }
    if (!ids_.insert(token.id).second) {
      fail(ErrorCode::kCorrupt, "{}: id {} of '{}' is used twice", what, id, token.content);
    }
    if (!contents_.insert(token.content).second) {
      fail(ErrorCode::kCorrupt, "{}: '{}' appears twice", what, token.content);
    }
    if (tokens.size() >= kMaxAddedTokens) {
      fail(ErrorCode::kCorrupt, "{}: more than {} added tokens", what, kMaxAddedTokens);
    }
    tokens.push_back(std::move(token));
  }

  bool has(const std::string& content) const { return contents_.contains(content); }

  std::vector<AddedToken> tokens;

 private:
  const Bpe& bpe_;
  const ByteAlphabet alphabet_;
  std::set<int32_t> ids_;
  std::set<std::string> contents_;
};

void add_from_tokenizer(const Json& list, const std::string& what, AddedTokenList& added) {
  if (!list.is_array()) fail(ErrorCode::kCorrupt, "{}: a list was wanted", what);
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("{}, entry {}", what, i);
    added.add(read_added_token(list[i], where), JsonReader(list[i], where).integer("id"), where);
  }
}

// tokenizer_config.json may list tokens that tokenizer.json lacks; `transformers` adds those.
void add_from_config(std::string_view text, const std::string& what, AddedTokenList& added) {
  const Json config = parse_json(text, what);
  if (!config.is_object() || !config.contains("added_tokens_decoder")) return;
  const Json& decoder = config["added_tokens_decoder"];
  const std::string field = what + ": field 'added_tokens_decoder'";
  if (!decoder.is_object()) fail(ErrorCode::kCorrupt, "{}: an object was wanted", field);
  for (const auto& [key, value] : decoder.items()) {
    int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) {
      fail(ErrorCode::kCorrupt, "{}: key '{}' is no token id", field, key);
    }
    AddedToken token = read_added_token(value, fmt::format("{}, id {}", field, key));
    if (!added.has(token.content)) added.add(std::move(token), id, field);
  }
}

}  // namespace

TokenizerParts build_tokenizer(std::string_view tokenizer_json, std::string_view config_json,
                               const std::string& what) {
  const TokenizerFile file = parse_tokenizer_json(tokenizer_json, what);
  const JsonReader root(file.rest, what);
  if (root.has("normalizer")) unsupported(what, "normalizer", root.raw("normalizer"));
  if (root.has("post_processor")) {
    check_post_processor(root.raw("post_processor"), what + ": field 'post_processor'");
  }
  check_decoder(root.raw("decoder"), what + ": field 'decoder'");
  TokenizerParts parts;
  parts.pre_tokenizer = PreTokenizer(root.raw("pre_tokenizer"), what);
  parts.bpe = build_bpe(file);
  AddedTokenList added(parts.bpe);
  if (root.has("added_tokens")) {
    add_from_tokenizer(root.raw("added_tokens"), what + ": field 'added_tokens'", added);
  }
  if (!config_json.empty()) {
    add_from_config(config_json, "tokenizer_config.json beside " + what, added);
  }
  parts.added = AddedTokens(std::move(added.tokens));
  return parts;
}

}  // namespace glmoe
