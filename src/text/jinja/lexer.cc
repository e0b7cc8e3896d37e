#include "text/jinja/lexer.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace glmoe::jinja {
namespace {

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& what) : source_(source), what_(what) {}

  std::vector<Token> run() {
    while (position_ < source_.size()) template_text();
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  template <class... Args>
  [[noreturn]] void error(fmt::format_string<Args...> format, Args&&... args) {
    fail(ErrorCode::kCorrupt, "{}, line {}: {}", what_, line_,
         fmt::format(format, std::forward<Args>(args)...));
  }

  bool looking_at(std::string_view text) const {
    return source_.substr(position_, text.size()) == text;
  }
  char peek(size_t ahead = 0) const {
    return position_ + ahead < source_.size() ? source_[position_ + ahead] : '\0';
  }
  void advance(size_t count) {
    line_ += static_cast<int>(
        std::count(source_.begin() + static_cast<ptrdiff_t>(position_),
                   source_.begin() + static_cast<ptrdiff_t>(position_ + count), '\n'));
    position_ += count;
  }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void skip_space() {
    while (position_ < source_.size()) {
      size_t next = position_;
      if (!is_python_space(next_code_point(source_, next))) return;
      advance(next - position_);
    }
  }

  // Position of the next {{, {% or {#.
  size_t find_tag() const {
    for (size_t i = position_; (i = source_.find('{', i)) != std::string_view::npos; ++i) {
      if (i + 1 < source_.size() &&
          std::string_view("{%#").find(source_[i + 1]) != std::string_view::npos) {
        return i;
      }
    }
    return source_.size();
  }

  // The text before a tag: '-' strips all white space at its end; else, before a block or comment
  // that is first in its line (and without '+'), the line's indentation goes.
  std::string_view strip_before(std::string_view text, char sign, bool is_print) const {
    if (sign == '-') {
      while (!text.empty()) {
        size_t last = text.size() - 1;
        while (last > 0 && (static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
        size_t end = last;
        if (!is_python_space(next_code_point(text, end))) break;
        text = text.substr(0, last);
      }
      return text;
    }
    if (sign == '+' || is_print) return text;
    const size_t line_begin = text.rfind('\n') + 1;  // 0 where there is no line break
    if (line_begin == 0 && !line_starting_) return text;
    for (size_t i = line_begin; i < text.size();) {
      if (!is_python_space(next_code_point(text, i))) return text;
    }
    return text.substr(0, line_begin);
  }

  void template_text() {
    const size_t tag = find_tag();
    std::string_view text = source_.substr(position_, tag - position_);
    if (tag == source_.size()) {
      if (!text.empty()) add(TokenKind::kText, std::string(text));
      advance(text.size());
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const bool has_sign = sign == '-' || sign == '+';
    const auto kept = strip_before(text, sign, kind == '{');
    if (!kept.empty()) add(TokenKind::kText, std::string(kept));
    advance(tag - position_ + 2 + (has_sign ? 1 : 0));
    if (kind == '#') {
      comment();
    } else if (kind == '{') {
      add(TokenKind::kPrintBegin, "");
      expression("}}", TokenKind::kPrintEnd);
    } else if (!raw_block()) {
      add(TokenKind::kBlockBegin, "");
      expression("%}", TokenKind::kBlockEnd);
    }
  }

  // After the end of a tag: '-' before it strips what follows, and a block or comment takes the
  // newline right after it along unless '+' stands before its end.
  void after_tag(char sign, bool takes_newline) {
    if (sign == '-') {
      skip_space();
    } else if (takes_newline && sign != '+' && peek() == '\n') {
      advance(1);
    }
    line_starting_ = position_ > 0 && source_[position_ - 1] == '\n';
  }

  void comment() {
    const size_t end = source_.find("#}", position_);
    if (end == std::string_view::npos) error("a comment {{# is not closed with #}}");
    const char sign = end > position_ ? source_[end - 1] : '\0';
    advance(end + 2 - position_);
    after_tag(sign, true);
  }

  // {% raw %} ... {% endraw %}: everything between is text. False where this is another block.
  bool raw_block() {
    const size_t begin = position_;
    const int line = line_;
    char sign = '\0';
    if (!keyword_tag("raw", sign)) {
      position_ = begin;
      line_ = line;
      return false;
    }
    after_tag(sign, false);
    const size_t text_begin = position_;
    for (size_t search = position_;;) {
      const size_t tag = source_.find("{%", search);
      if (tag == std::string_view::npos) error("{{% raw %}} is not closed with {{% endraw %}}");
      advance(tag + 2 - position_);  // keyword_tag passes over no brace, so never beyond the tag
      const char open_sign = peek();
      if (open_sign == '-' || open_sign == '+') advance(1);
      char close_sign = '\0';
      if (keyword_tag("endraw", close_sign)) {
        const auto text =
            strip_before(source_.substr(text_begin, tag - text_begin), open_sign, false);
        if (!text.empty()) add(TokenKind::kText, std::string(text));
        after_tag(close_sign, true);
        return true;
      }
      search = tag + 2;
    }
  }

  // At "  NAME  %}": moves past it and returns true with the sign before the end.
  bool keyword_tag(std::string_view name, char& sign) {
    skip_space();
    if (!looking_at(name)) return false;
    advance(name.size());
    skip_space();
    sign = peek();
    if (sign == '-' || sign == '+') advance(1);
    if (!looking_at("%}")) return false;
    advance(2);
    return true;
  }

  void expression(std::string_view end, TokenKind end_kind) {
    std::string brackets;
    while (true) {
      skip_space();
      if (position_ >= source_.size()) error("a tag is not closed with {}", end);
      if (brackets.empty()) {
        const char sign = peek();
        const bool signed_end = (sign == '-' || (sign == '+' && end == "%}")) &&
                                source_.substr(position_ + 1, 2) == end;
        if (signed_end || looking_at(end)) {
          advance(signed_end ? 3 : 2);
          add(end_kind, "");
          after_tag(signed_end ? sign : '\0', end_kind == TokenKind::kBlockEnd);
          return;
        }
      }
      if (is_name_start(peek())) {
        name();
      } else if (is_digit(peek())) {
        number();
      } else if (peek() == '\'' || peek() == '"') {
        string();
      } else {
        symbol(brackets);
      }
    }
  }

  void name() {
    size_t length = 1;
    while (is_name_start(peek(length)) || is_digit(peek(length))) ++length;
    add(TokenKind::kName, std::string(source_.substr(position_, length)));
    advance(length);
  }

  void number() {
    std::string text;
    size_t i = 0;
    const auto digits = [&] {
      while (is_digit(peek(i)) || (peek(i) == '_' && is_digit(peek(i + 1)))) {
        if (peek(i) != '_') text += peek(i);
        ++i;
      }
    };
    digits();
    bool is_float = false;
    // 1.5 but not 1.x, and no second part in a.0.1
    const bool after_dot = !tokens_.empty() && tokens_.back().text == "." &&
                           tokens_.back().kind == TokenKind::kOperator;
    if (!after_dot && peek(i) == '.' && is_digit(peek(i + 1))) {
      is_float = true;
      text += peek(i++);
      digits();
    }
    const size_t sign = peek(i + 1) == '+' || peek(i + 1) == '-' ? 1 : 0;
    if ((peek(i) | 0x20) == 'e' && is_digit(peek(i + 1 + sign))) {
      is_float = true;
      text += source_.substr(position_ + i, 1 + sign);
      i += 1 + sign;
      digits();
    }
    if (is_name_start(peek(i))) error("a number may not go on with '{}'", peek(i));
    add(is_float ? TokenKind::kFloat : TokenKind::kInteger, std::move(text));
    advance(i);
  }

  void string() {
    const char quote = peek();
    const int begin_line = line_;
    size_t i = 1;
    while (position_ + i < source_.size() && peek(i) != quote) i += peek(i) == '\\' ? 2 : 1;
    if (position_ + i >= source_.size()) error("a string is not closed with {}", quote);
    std::string text = unescape(source_.substr(position_ + 1, i - 1));
    tokens_.push_back({TokenKind::kString, std::move(text), begin_line});
    advance(i + 1);
  }

  // Python's escapes; unknown ones stay as they are.
  std::string unescape(std::string_view raw) {
    std::string out;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '\\' || i + 1 >= raw.size()) {
        out += raw[i];
        continue;
      }
      const char c = raw[++i];
      static constexpr std::string_view kFrom = "abfnrtv\\'\"", kTo = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t k = kFrom.find(c); k != std::string_view::npos) {
        out += kTo[k];
      } else if (c == '\n') {
        continue;  // a line goes on
      } else if (c == 'x' || c == 'u' || c == 'U') {
        i += code_escape(out, raw.substr(i + 1), c == 'x' ? 2 : c == 'u' ? 4 : 8);
      } else if (c >= '0' && c <= '7') {
        uint32_t value = 0;
        size_t used = 0;
        while (used < 3 && i + used < raw.size() && raw[i + used] >= '0' && raw[i + used] <= '7') {
          value = value * 8 + static_cast<uint32_t>(raw[i + used++] - '0');
        }
        i += used - 1;
        append_utf8(out, value);
      } else if (c == 'N') {
        error("\\N{{...}} in a string is not supported");
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  size_t code_escape(std::string& out, std::string_view digits, size_t count) {
    uint32_t value = 0;
    for (size_t k = 0; k < count; ++k) {
      const char c = k < digits.size() ? digits[k] : '\0';
      const size_t v =
          std::string_view("0123456789abcdef").find(static_cast<char>(is_digit(c) ? c : c | 0x20));
      if (c == '\0' || v == std::string_view::npos) {
        error("an escape in a string needs {} hexadecimal digits", count);
      }
      value = value * 16 + static_cast<uint32_t>(v);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      error("an escape in a string is no character: U+{:04X}", value);
    }
    append_utf8(out, value);
    return count;
  }

  void symbol(std::string& brackets) {
    static constexpr std::string_view kDouble[] = {"//", "**", "==", "!=", ">=", "<="};
    const auto two = source_.substr(position_, 2);
    for (const auto op : kDouble) {
      if (two == op) {
        add(TokenKind::kOperator, std::string(op));
        advance(2);
        return;
      }
    }
    const char c = peek();
    if (std::string_view("+-/*%~[](){}<>=.:|,;").find(c) == std::string_view::npos) {
      error("unexpected character '{}'", source_.substr(position_, 1));
    }
    if (c == '(' || c == '[' || c == '{') brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) error("unexpected '{}'", c);
      brackets.pop_back();
    }
    add(TokenKind::kOperator, std::string(1, c));
    advance(1);
  }

  std::string_view source_;
  const std::string& what_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& what) {
  if (const auto offset = find_invalid_utf8(source)) {
    fail(ErrorCode::kCorrupt, "{}: not valid UTF-8 at byte {}", what, *offset);
  }
  const std::string text = normalize_newlines(source);
  return Lexer(text, what).run();
}

}  // namespace glmoe::jinja
