// UTF-8 and the few Unicode properties that tokenizer and templates need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace glmoe {

// Offset of the first byte that is not part of well-formed UTF-8 (over-long forms, surrogates and
// values above U+10FFFF are malformed); nullopt where all is well.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// Code point at `position` of well-formed text, which is advanced past it.
inline uint32_t next_code_point(std::string_view text, size_t& position) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  const uint32_t lead = byte(position);
  if (lead < 0x80) {
    position += 1;
    return lead;
  }
  if (lead < 0xE0) {
    position += 2;
    return (lead & 0x1F) << 6 | (byte(position - 1) & 0x3F);
  }
  if (lead < 0xF0) {
    position += 3;
    return (lead & 0x0F) << 12 | (byte(position - 2) & 0x3F) << 6 | (byte(position - 1) & 0x3F);
  }
  position += 4;
  return (lead & 0x07) << 18 | (byte(position - 3) & 0x3F) << 12 |
         (byte(position - 2) & 0x3F) << 6 | (byte(position - 1) & 0x3F);
}

void append_utf8(std::string& out, uint32_t code_point);

// Appends `bytes` with every malformed part replaced by U+FFFD, one for each maximal prefix of a
// well-formed sequence (the Unicode standard's recommendation). Where `at_end` is false, an
// incomplete sequence at the end is left alone; returns the number of bytes consumed.
size_t append_lossy_utf8(std::string& out, std::string_view bytes, bool at_end);

size_t count_code_points(std::string_view text);

// What the pre-tokenizer's pattern tells apart. kNewline is \r or \n, kSpace the rest of \s.
enum class CharClass : uint8_t { kOther, kLetter, kNumber, kSpace, kNewline };

// Class of every code point, from the tables that agree with Hugging Face's `tokenizers`.
class CharClasses {
 public:
  CharClasses();
  CharClass of(uint32_t code_point) const { return classes_[code_point]; }

 private:
  std::vector<CharClass> classes_;
};

// Python's str.isspace (it also counts U+001C..U+001F, which \s does not).
bool is_python_space(uint32_t code_point);
bool is_cased(uint32_t code_point);
// Python's case mappings of one character, appended as UTF-8 (ß becomes SS).
void append_upper(std::string& out, uint32_t code_point);
void append_lower(std::string& out, uint32_t code_point);
void append_title(std::string& out, uint32_t code_point);

}  // namespace glmoe
