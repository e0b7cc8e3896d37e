#include "text/tokenizer_file.h"

#include "base/error.h"

namespace glmoe {
namespace {

constexpr size_t kMaxDepth = 64;

// Handler of nlohmann's event parser. Where the path is model.vocab or model.merges the events fill
// the pools; everywhere else they build `rest`.
class TokenizerSax final : public nlohmann::json_sax<Json> {
 public:
  explicit TokenizerSax(TokenizerFile& file) : file_(file) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_float(double v, const std::string&) override { return value(v); }
  bool binary(Json::binary_t&) override { return false; }

  bool number_integer(int64_t v) override {
    if (mode_ == Mode::kVocab) bad_id(fmt::format("{}", v));
    return value(v);
  }

  bool number_unsigned(uint64_t v) override {
    if (mode_ != Mode::kVocab) return value(v);
    if (v > static_cast<uint64_t>(kMaxTokenId)) bad_id(fmt::format("{}", v));
    file_.vocab_ids.push_back(static_cast<int32_t>(v));
    return true;
  }

  bool string(std::string& v) override {
    if (mode_ != Mode::kMerges) return value(v);
    if (in_pair_) {
      add_merge_part(v);
      return true;
    }
    const size_t space = v.find(' ');
    if (space == std::string::npos || v.find(' ', space + 1) != std::string::npos) {
      bad_merge("two tokens with one space between");
    }
    add_merge_part(std::string_view(v).substr(0, space));
    add_merge_part(std::string_view(v).substr(space + 1));
    return true;
  }

  bool start_object(size_t) override {
    if (mode_ == Mode::kMerges) bad_merge("a string or a pair of strings");
    if (mode_ == Mode::kVocab) bad_id("an object");
    if (at("vocab")) {
      mode_ = Mode::kVocab;
      return true;
    }
    push(Json::object());
    return true;
  }

  bool key(std::string& v) override {
    if (mode_ == Mode::kVocab) {
      if (v.size() > kMaxTokenBytes) {
        fail(ErrorCode::kCorrupt,
             "{}: field 'model.vocab': a token of {} bytes, at most {} are accepted", file_.what,
             v.size(), kMaxTokenBytes);
      }
      file_.vocab.add(v);
      return true;
    }
    if (stack_.back()->contains(v)) {
      fail(ErrorCode::kCorrupt, "{}: JSON key '{}' appears twice in one object", file_.what, v);
    }
    key_ = v;
    return true;
  }

  bool end_object() override {
    if (mode_ == Mode::kVocab) {
      mode_ = Mode::kRest;
    } else {
      stack_.pop_back();
    }
    return true;
  }

  bool start_array(size_t) override {
    if (mode_ == Mode::kVocab) bad_id("an array");
    if (mode_ == Mode::kMerges) {
      if (in_pair_) bad_merge("a pair of strings");
      in_pair_ = true;
      pair_begin_ = file_.merges.size();
      return true;
    }
    if (at("merges")) {
      mode_ = Mode::kMerges;
      return true;
    }
    push(Json::array());
    return true;
  }

  bool end_array() override {
    if (mode_ != Mode::kMerges) {
      stack_.pop_back();
    } else if (in_pair_) {
      if (file_.merges.size() != pair_begin_ + 2) bad_merge("a pair of strings");
      in_pair_ = false;
    } else {
      mode_ = Mode::kRest;
    }
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::json::exception& error) override {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON at byte {}: {}", file_.what, position,
         json_problem(error));
  }

 private:
  enum class Mode { kRest, kVocab, kMerges };

  // Whether the value that begins now is model.<name> (seen once; twice is a duplicate key).
  bool at(std::string_view name) {
    if (stack_.size() != 2 || key_ != name || !stack_[1]->is_object()) return false;
    const auto model = stack_[0]->find("model");
    if (model == stack_[0]->end() || &*model != stack_[1]) return false;
    (*stack_[1])[key_] = true;  // seen; a second one is refused as a duplicate
    return true;
  }

  Json* place(Json v) {
    if (stack_.empty()) {
      file_.rest = std::move(v);
      return &file_.rest;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(v));
      return &parent.back();
    }
    return &(parent[key_] = std::move(v));
  }

  void push(Json v) {
    if (stack_.size() >= kMaxDepth) {
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {} levels", file_.what, kMaxDepth);
    }
    stack_.push_back(place(std::move(v)));
  }

  bool value(Json v) {
    if (mode_ == Mode::kVocab) bad_id(v.dump(-1, ' ', true, Json::error_handler_t::replace));
    if (mode_ == Mode::kMerges) bad_merge("a string or a pair of strings");
    place(std::move(v));
    return true;
  }

  void add_merge_part(std::string_view part) {
    if (part.empty() || part.size() > kMaxTokenBytes) bad_merge("tokens of 1 to 65536 bytes");
    file_.merges.add(part);
  }

  [[noreturn]] void bad_id(const std::string& found) {
    const std::string token(file_.vocab[file_.vocab.size() - 1].substr(0, 60));
    fail(ErrorCode::kCorrupt,
         "{}: field 'model.vocab': id of token '{}': a whole number from 0 to {} was wanted, "
         "found {}",
         file_.what, token, kMaxTokenId, found.substr(0, 60));
  }

  [[noreturn]] void bad_merge(std::string_view wanted) {
    fail(ErrorCode::kCorrupt, "{}: field 'model.merges', entry {}: {} was wanted", file_.what,
         file_.merges.size() / 2, wanted);
  }

  TokenizerFile& file_;
  std::vector<Json*> stack_;  // open containers; their addresses hold while a child is being built
  std::string key_;
  Mode mode_ = Mode::kRest;
  bool in_pair_ = false;
  size_t pair_begin_ = 0;
};

}  // namespace

TokenizerFile parse_tokenizer_json(std::string_view text, std::string what) {
  TokenizerFile file;
  file.what = std::move(what);
  TokenizerSax sax(file);
  Json::sax_parse(text.begin(), text.end(), &sax);
  if (!file.rest.is_object() || !file.rest.contains("model")) {
    fail(ErrorCode::kCorrupt, "{}: field 'model' is missing", file.what);
  }
  const Json& model = file.rest["model"];
  for (const char* name : {"vocab", "merges"}) {
    if (!model.is_object() || !model.contains(name) || model[name] != true) {
      fail(ErrorCode::kCorrupt, "{}: field 'model.{}' is missing or of another type", file.what,
           name);
    }
  }
  return file;
}

}  // namespace glmoe
