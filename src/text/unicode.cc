#include "text/unicode.h"

#include <algorithm>
#include <cstring>

#include "text/unicode_tables.h"

namespace glmoe {
namespace {

// Length of the well-formed sequence at `p`. Otherwise 0, and `prefix` is the length of the longest
// prefix of a well-formed sequence (at least 1), `truncated` whether only the end was missing.
size_t sequence_length(const uint8_t* p, size_t left, size_t& prefix, bool& truncated) {
  const uint8_t lead = p[0];
  prefix = 1;
  truncated = false;
  size_t length = 0;
  uint8_t low = 0x80, high = 0xBF;  // allowed second byte
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if (i >= left) {
      truncated = true;
      return 0;
    }
    if (p[i] < low || p[i] > high) return 0;
    prefix = i + 1;
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

// Number of leading bytes below 0x80, eight at a time.
size_t ascii_run(std::string_view text, size_t position) {
  const size_t begin = position;
  while (position + 8 <= text.size()) {
    uint64_t word;
    std::memcpy(&word, text.data() + position, 8);
    if (word & 0x8080808080808080ull) break;
    position += 8;
  }
  while (position < text.size() && static_cast<uint8_t>(text[position]) < 0x80) ++position;
  return position - begin;
}

bool in_ranges(const CodePointRange* ranges, size_t count, uint32_t code_point) {
  const auto* end = ranges + count;
  const auto* it = std::upper_bound(
      ranges, end, code_point,
      [](uint32_t value, const CodePointRange& range) { return value < range.first; });
  return it != ranges && code_point <= (it - 1)->last;
}

std::optional<uint32_t> map_case(const CaseRun* runs, size_t count, uint32_t code_point) {
  // Runs of stride 2 may interleave with others, so the last few that begin at or before are asked.
  const auto* it =
      std::upper_bound(runs, runs + count, code_point,
                       [](uint32_t value, const CaseRun& run) { return value < run.first; });
  for (int tries = 0; it != runs && tries < 4; ++tries) {
    --it;
    if (code_point <= it->last && (code_point - it->first) % it->stride == 0) {
      return static_cast<uint32_t>(static_cast<int64_t>(code_point) + it->delta);
    }
  }
  return std::nullopt;
}

const char* map_full(const FullCaseMapping* rows, size_t count, uint32_t code_point) {
  const auto* it = std::lower_bound(
      rows, rows + count, code_point,
      [](const FullCaseMapping& row, uint32_t value) { return row.code_point < value; });
  return it != rows + count && it->code_point == code_point ? it->text : nullptr;
}

constexpr uint32_t kWhiteSpace[] = {0x09,   0x0B,   0x0C,   0x20,   0x85,   0xA0,   0x1680, 0x2000,
                                    0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
                                    0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};

}  // namespace

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  size_t position = 0;
  while (true) {
    position += ascii_run(text, position);
    if (position >= text.size()) return std::nullopt;
    size_t prefix;
    bool truncated;
    const size_t length =
        sequence_length(bytes_of(text) + position, text.size() - position, prefix, truncated);
    if (length == 0) return position;
    position += length;
  }
}

void append_utf8(std::string& out, uint32_t c) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

size_t append_lossy_utf8(std::string& out, std::string_view bytes, bool at_end) {
  size_t position = 0;
  while (position < bytes.size()) {
    const size_t ascii = ascii_run(bytes, position);
    out.append(bytes, position, ascii);
    position += ascii;
    if (position >= bytes.size()) break;
    size_t prefix;
    bool truncated;
    const size_t length =
        sequence_length(bytes_of(bytes) + position, bytes.size() - position, prefix, truncated);
    if (length > 0) {
      out.append(bytes, position, length);
      position += length;
      continue;
    }
    if (truncated && !at_end) break;
    out.append("\xEF\xBF\xBD");
    position += prefix;
  }
  return position;
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

CharClasses::CharClasses() : classes_(0x110000, CharClass::kOther) {
  const auto paint = [&](const CodePointRange* ranges, size_t count, CharClass value) {
    for (size_t i = 0; i < count; ++i) {
      std::fill(classes_.begin() + ranges[i].first, classes_.begin() + ranges[i].last + 1, value);
    }
  };
  paint(kLetters, kLettersCount, CharClass::kLetter);
  paint(kNumbers, kNumbersCount, CharClass::kNumber);
  for (const uint32_t c : kWhiteSpace) classes_[c] = CharClass::kSpace;
  classes_['\r'] = classes_['\n'] = CharClass::kNewline;
}

bool is_python_space(uint32_t code_point) {
  if (code_point < 0x80) {
    return code_point == ' ' || (code_point >= 0x09 && code_point <= 0x0D) ||
           (code_point >= 0x1C && code_point <= 0x1F);
  }
  return std::find(std::begin(kWhiteSpace), std::end(kWhiteSpace), code_point) !=
         std::end(kWhiteSpace);
}

bool is_cased(uint32_t code_point) { return in_ranges(kCased, kCasedCount, code_point); }

void append_upper(std::string& out, uint32_t code_point) {
  if (const char* text = map_full(kFullUpper, kFullUpperCount, code_point)) {
    out += text;
  } else {
    append_utf8(out, map_case(kUpper, kUpperCount, code_point).value_or(code_point));
  }
}

void append_lower(std::string& out, uint32_t code_point) {
  if (code_point == 0x130) {  // the one character whose lower case is two
    out += "i\xCC\x87";
  } else {
    append_utf8(out, map_case(kLower, kLowerCount, code_point).value_or(code_point));
  }
}

void append_title(std::string& out, uint32_t code_point) {
  if (const char* text = map_full(kFullTitle, kFullTitleCount, code_point)) {
    out += text;
  } else if (const auto mapped = map_case(kTitle, kTitleCount, code_point)) {
    append_utf8(out, *mapped);
  } else {
    append_upper(out, code_point);
  }
}

}  // namespace glmoe
