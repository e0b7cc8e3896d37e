// Literals of Python as JSON: what models write in place of JSON now and then. Nothing is
// evaluated.
#include <string>

#include "base/json.h"
#include "text/tool_value.h"
#include "text/unicode.h"

namespace glmoe {
namespace {

class LiteralReader {
 public:
  explicit LiteralReader(std::string_view text) : text_(text) {}

  std::optional<std::string> read() {
    skip_space();
    if (!value(0)) return std::nullopt;
    skip_space();
    // Numbers were taken as they are, so JSON has the last word.
    if (position_ != text_.size() || !json_type(out_)) return std::nullopt;
    return std::move(out_);
  }

 private:
  bool at_end() const { return position_ == text_.size(); }
  bool accept(char c) {
    if (at_end() || text_[position_] != c) return false;
    ++position_;
    return true;
  }
  void skip_space() {
    while (!at_end() &&
           std::string_view(" \t\r\n").find(text_[position_]) != std::string_view::npos) {
      ++position_;
    }
  }
  bool word(std::string_view python, std::string_view json) {
    if (text_.substr(position_, python.size()) != python) return false;
    position_ += python.size();
    out_ += json;
    return true;
  }

  bool value(int depth) {
    if (at_end() || depth > kMaxArgumentDepth) return false;
    switch (text_[position_]) {
      case '[': return ++position_, list(depth);
      case '(': return ++position_, tuple(depth);
      case '{': return ++position_, dict(depth);
      case '\'':
      case '"': return string();
      case 'T': return word("True", "true");
      case 'F': return word("False", "false");
      case 'N': return word("None", "null");
      case 't': return word("true", "true");
      case 'f': return word("false", "false");
      case 'n': return word("null", "null");
      default: return number();
    }
  }

  bool number() {
    const size_t begin = position_;
    while (!at_end() &&
           std::string_view("+-.0123456789eE").find(text_[position_]) != std::string_view::npos) {
      ++position_;
    }
    out_ += text_.substr(begin, position_ - begin);
    return position_ > begin;
  }

  bool list(int depth) {
    out_ += '[';
    return items(']', depth, false);
  }

  // The rest of a sequence. A comma may follow the last item.
  bool items(char close, int depth, bool after_one) {
    for (;; after_one = true) {
      skip_space();
      if (accept(close)) break;
      if (after_one) out_ += ", ";
      if (!value(depth + 1)) return false;
      skip_space();
      if (accept(',')) continue;
      if (!accept(close)) return false;
      break;
    }
    out_ += ']';
    return true;
  }

  // (1) is 1, but (1,) a tuple.
  bool tuple(int depth) {
    const size_t begin = out_.size();
    skip_space();
    if (accept(')')) {
      out_ += "[]";
      return true;
    }
    if (!value(depth + 1)) return false;
    skip_space();
    if (accept(')')) return true;
    out_.insert(begin, 1, '[');
    return accept(',') && items(')', depth, true);
  }

  bool dict(int depth) {
    out_ += '{';
    for (bool first = true;; first = false) {
      skip_space();
      if (accept('}')) break;
      if (!first) out_ += ", ";
      if (at_end() || (text_[position_] != '\'' && text_[position_] != '"') || !string()) {
        return false;
      }
      skip_space();
      if (!accept(':')) return false;
      out_ += ": ";
      skip_space();
      if (!value(depth + 1)) return false;
      skip_space();
      if (accept(',')) continue;
      if (!accept('}')) return false;
      break;
    }
    out_ += '}';
    return true;
  }

  bool string() {
    const char quote = text_[position_++];
    std::string content;
    while (!at_end() && text_[position_] != quote) {
      const char c = text_[position_++];
      if (c == '\n') return false;
      if (c != '\\') {
        content += c;
      } else if (!escape(content)) {
        return false;
      }
    }
    if (!accept(quote)) return false;
    out_ += json_string(content);
    return true;
  }

  bool escape(std::string& content) {
    if (at_end()) return false;
    static constexpr std::string_view kFrom = "\\'\"nrtbfva", kTo = "\\'\"\n\r\t\b\f\v\a";
    const char c = text_[position_++];
    switch (c) {
      case '\n': return true;  // joins lines
      case 'x': return code_point(content, 2);
      case 'u': return code_point(content, 4);
      case 'U': return code_point(content, 8);
      default: break;
    }
    if (c >= '0' && c <= '7') return false;  // octal: too rare to be worth a guess
    if (const size_t i = kFrom.find(c); i != std::string_view::npos) {
      content += kTo[i];
    } else {
      content.append({'\\', c});  // as Python leaves what it does not know
    }
    return true;
  }

  std::optional<uint32_t> hex(size_t digits) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      static constexpr std::string_view kDigits = "0123456789abcdefABCDEF";
      const size_t digit = at_end() ? std::string_view::npos : kDigits.find(text_[position_++]);
      if (digit == std::string_view::npos) return std::nullopt;
      value = value << 4 | static_cast<uint32_t>(digit < 16 ? digit : digit - 6);
    }
    return value;
  }

  bool code_point(std::string& content, size_t digits) {
    auto c = hex(digits);
    if (!c) return false;
    const bool is_high = *c >= 0xD800 && *c < 0xDC00;
    if (is_high && text_.substr(position_, 2) == "\\u") {  // half of a pair, as JSON writes them
      position_ += 2;
      const auto low = hex(4);
      if (!low || *low < 0xDC00 || *low > 0xDFFF) return false;
      c = 0x10000 + ((*c - 0xD800) << 10) + (*low - 0xDC00);
    }
    if (*c > 0x10FFFF || (*c >= 0xD800 && *c < 0xE000)) return false;
    append_utf8(content, *c);
    return true;
  }

  std::string_view text_;
  size_t position_ = 0;
  std::string out_;
};

}  // namespace

std::optional<std::string> python_literal_to_json(std::string_view text) {
  return LiteralReader(text).read();
}

}  // namespace glmoe
