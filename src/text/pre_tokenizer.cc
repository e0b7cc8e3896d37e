#include "text/pre_tokenizer.h"

#include "base/error.h"

namespace glmoe {

const std::string_view kGlmPattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const std::string_view kGpt2Pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

namespace {

// End of 's 't 're 've 'm 'll 'd in any case at `begin` (an apostrophe), or 0. ſ folds to s.
size_t contraction_end(std::string_view text, size_t begin) {
  const auto lower = [&](size_t i) { return i < text.size() ? text[i] | 0x20 : 0; };
  const int first = lower(begin + 1), second = lower(begin + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return begin + 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
      (first == 'l' && second == 'l')) {
    return begin + 3;
  }
  return text.substr(begin + 1, 2) == "\xC5\xBF" ? begin + 3 : 0;
}

}  // namespace

GlmSplitter::Char GlmSplitter::at(std::string_view text, size_t position) const {
  if (position >= text.size()) return {CharClass::kSpace, 0};  // end 0 tells it from a character
  const uint32_t c = next_code_point(text, position);
  return {classes_.of(c), position};
}

size_t GlmSplitter::skip(std::string_view text, size_t position, CharClass kind) const {
  while (position < text.size()) {
    const Char next = at(text, position);
    if (next.kind != kind) break;
    position = next.end;
  }
  return position;
}

size_t GlmSplitter::piece_end(std::string_view text, size_t begin) const {
  if (text[begin] == '\'') {
    if (const size_t end = contraction_end(text, begin)) return end;
  }
  const Char first = at(text, begin);
  if (first.kind == CharClass::kLetter) return skip(text, first.end, CharClass::kLetter);
  if (first.kind == CharClass::kNumber) {
    size_t end = first.end;
    for (int digits = 1; digits < 3; ++digits) {
      const Char next = at(text, end);
      if (next.end == 0 || next.kind != CharClass::kNumber) break;
      end = next.end;
    }
    return end;
  }
  if (first.kind != CharClass::kNewline) {  // one character that is no letter may lead letters
    const Char second = at(text, first.end);
    if (second.end != 0 && second.kind == CharClass::kLetter) {
      return skip(text, second.end, CharClass::kLetter);
    }
    const bool leads_others =
        text[begin] == ' ' && second.end != 0 && second.kind == CharClass::kOther;
    if (first.kind == CharClass::kOther || leads_others) {
      size_t end = skip(text, first.end, CharClass::kOther);
      while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
      return end;
    }
  }
  return piece_of_spaces(text, begin);
}

// White space: through its last line break if there is one; else all of it at the end of the text;
// else all but the last character, which belongs to what follows.
size_t GlmSplitter::piece_of_spaces(std::string_view text, size_t begin) const {
  size_t end = begin, last_begin = begin, after_newline = 0;
  while (true) {
    const Char next = at(text, end);
    if (next.end == 0) break;
    if (next.kind != CharClass::kSpace && next.kind != CharClass::kNewline) break;
    if (next.kind == CharClass::kNewline) after_newline = next.end;
    last_begin = end;
    end = next.end;
  }
  if (after_newline != 0) return after_newline;
  if (end == text.size() || last_begin == begin) return end;
  return last_begin;
}

PreTokenizer::PreTokenizer(const Json& json, const std::string& what) {
  bool byte_level = false;
  add(json, fmt::format("{}: field 'pre_tokenizer'", what), byte_level);
  if (!byte_level) {
    fail(ErrorCode::kUnsupported, "{}: field 'pre_tokenizer' has no ByteLevel step", what);
  }
}

void PreTokenizer::add(const Json& json, const std::string& what, bool& byte_level) {
  const JsonReader reader(json, what);
  const std::string type = reader.string("type");
  if (byte_level) {
    fail(ErrorCode::kUnsupported, "{}: a step '{}' after ByteLevel is not supported", what, type);
  }
  if (type == "Sequence") {
    const Json& steps = reader.raw("pretokenizers");
    if (!steps.is_array() || steps.size() > 16) {
      fail(ErrorCode::kCorrupt, "{}: field 'pretokenizers': a list of at most 16 was wanted", what);
    }
    for (size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].is_object() && steps[i].value("type", Json()) == "Sequence") {
        fail(ErrorCode::kUnsupported, "{}: a Sequence within a Sequence is not supported", what);
      }
      add(steps[i], fmt::format("{}, step {}", what, i), byte_level);
    }
  } else if (type == "Split") {
    add_split(json, what);
  } else if (type == "ByteLevel") {
    byte_level = true;
    if (reader.boolean_or("add_prefix_space", true)) {
      fail(ErrorCode::kUnsupported, "{}: ByteLevel with 'add_prefix_space' is not supported", what);
    }
    if (reader.boolean_or("use_regex", true)) steps_.emplace_back(Regex(kGpt2Pattern, what));
  } else {
    fail(ErrorCode::kUnsupported,
         "{}: type '{}' is not supported; Sequence, Split and ByteLevel are", what, type);
  }
}

void PreTokenizer::add_split(const Json& json, const std::string& what) {
  const JsonReader reader(json, what);
  const std::string behavior = reader.string("behavior");
  if (behavior != "Isolated" || reader.boolean_or("invert", false)) {
    fail(ErrorCode::kUnsupported,
         "{}: Split with behavior '{}', invert {} is not supported; 'Isolated' without invert is",
         what, behavior, reader.boolean_or("invert", false));
  }
  const JsonReader pattern = reader.object("pattern");
  if (pattern.has("String")) {
    steps_.emplace_back(Regex::literal(pattern.string("String"), what));
    return;
  }
  const std::string regex = pattern.string("Regex");
  if (regex == kGlmPattern) {
    steps_.emplace_back(std::nullopt);
    glm_.emplace();
  } else {
    steps_.emplace_back(Regex(regex, what));
  }
}

}  // namespace glmoe
