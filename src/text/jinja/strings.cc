// Python's string functions, shared by filters and methods.
#include "text/jinja/library.h"
#include "text/unicode.h"

namespace glmoe::jinja {
namespace {

// Characters that do not end a word when looking for its last letter, as far as they matter.
bool is_case_ignorable(uint32_t c) {
  return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`' || c == 0xAD || c == 0xB7 ||
         c == 0x2019 || (c >= 0x300 && c <= 0x36F);
}

constexpr uint32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;

// Whether the sigma at [begin, end) ends a word: a letter before it and none after.
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  for (size_t i = end; i < text.size();) {
    const uint32_t c = next_code_point(text, i);
    if (is_case_ignorable(c)) continue;
    if (is_cased(c)) return false;
    break;
  }
  while (begin > 0) {
    do --begin;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80);
    size_t i = begin;
    const uint32_t c = next_code_point(text, i);
    if (!is_case_ignorable(c)) return is_cased(c);
  }
  return false;
}

// Lower case of the character c at [begin, end) of `text`.
void append_lower_in(std::string& out, std::string_view text, uint32_t c, size_t begin,
                     size_t end) {
  if (c == kCapitalSigma && is_final_sigma(text, begin, end)) {
    append_utf8(out, kFinalSigma);
  } else {
    append_lower(out, c);
  }
}

}  // namespace

std::string upper(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) append_upper(out, next_code_point(text, i));
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t c = next_code_point(text, i);
    append_lower_in(out, text, c, begin, i);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t c = next_code_point(text, i);
    if (begin == 0) {
      append_title(out, c);
    } else {
      append_lower_in(out, text, c, begin, i);
    }
  }
  return out;
}

std::string title(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t c = next_code_point(text, i);
    if (in_word) {
      append_lower_in(out, text, c, begin, i);
    } else {
      append_title(out, c);
    }
    in_word = is_cased(c);
  }
  return out;
}

std::string_view strip(std::string_view text, const std::string* set, bool left, bool right) {
  const auto stripped = [&](std::string_view character) {
    if (set != nullptr) {
      for (const auto other : characters(*set)) {
        if (other == character) return true;
      }
      return false;
    }
    size_t i = 0;
    return is_python_space(next_code_point(character, i));
  };
  while (left && !text.empty()) {
    size_t end = 0;
    next_code_point(text, end);
    if (!stripped(text.substr(0, end))) break;
    text.remove_prefix(end);
  }
  while (right && !text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!stripped(text.substr(begin))) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t count) {
  std::string out;
  if (from.empty()) {  // between all characters, and at both ends
    for (size_t i = 0; count != 0; --count) {
      out += to;
      if (i >= text.size()) return out;
      const size_t begin = i;
      next_code_point(text, i);
      out += text.substr(begin, i - begin);
      text.remove_prefix(i);
      i = 0;
    }
    out += text;
    return out;
  }
  size_t position = 0;
  for (; count != 0; --count) {
    const size_t found = text.find(from, position);
    if (found == std::string_view::npos) break;
    out += text.substr(position, found - position);
    out += to;
    position = found + from.size();
  }
  out += text.substr(position);
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t at = i;
    const uint32_t c = next_code_point(text, i);
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    lines.push_back(text.substr(begin, at - begin));
    if (c == '\r' && i < text.size() && text[i] == '\n') ++i;
    begin = i;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    next_code_point(text, i);
    out.push_back(text.substr(begin, i - begin));
  }
  return out;
}

}  // namespace glmoe::jinja
