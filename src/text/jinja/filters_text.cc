// Jinja's filters that make strings.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/unicode.h"

namespace glmoe::jinja {
namespace {

template <std::string (*function)(std::string_view)>
Value plain(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("filter", arguments, {"value"}, 1);
  return interpreter.make_string(function(to_str(bound.at(0))));
}

// Jinja's own idea of words: they begin after white space, - or an opening bracket.
std::string title_words(std::string_view text) {
  std::string out;
  size_t word = 0;
  const auto end_word = [&](size_t end) {
    if (word == end) return;
    size_t rest = word;
    append_upper(out, next_code_point(text, rest));
    out += lower(text.substr(rest, end - rest));
  };
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t c = next_code_point(text, i);
    const bool opens =
        c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) != std::string_view::npos;
    if (!opens && !is_python_space(c)) continue;
    end_word(begin);
    append_utf8(out, c);
    word = i;
  }
  end_word(text.size());
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string unchanged(std::string_view text) { return std::string(text); }

Value trim_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("trim", arguments, {"value", "chars"}, 1);
  const std::string text = to_str(bound.at(0));
  const std::string set = bound.given(1) ? bound.string(1, "") : std::string();
  return interpreter.make_string(
      std::string(strip(text, bound.given(1) ? &set : nullptr, true, true)));
}

Value replace_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("replace", arguments, {"value", "old", "new", "count"}, 3);
  const int64_t count = bound.given(3) ? bound.integer(3, -1) : -1;
  const std::string text = to_str(bound.at(0)), from = to_str(bound.at(1)),
                    to = to_str(bound.at(2));
  // The longest possible result, before it is made.
  if ((text.size() / std::max<size_t>(from.size(), 1) + 1) * to.size() > kMaxTextBytes) {
    throw RenderError{"replace: the result may be too long"};
  }
  return interpreter.make_string(replace(text, from, to, count));
}

Value join_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("join", arguments, {"value", "d", "attribute"}, 1);
  const std::string between = bound.find(1) ? to_str(bound.at(1)) : std::string();
  std::string out;
  bool first = true;
  for (const Value& item : iterate(interpreter, bound.at(0))) {
    if (!first) out += between;
    first = false;
    interpreter.step();
    append_str(out, bound.given(2) ? interpreter.subscript(item, bound.at(2)) : item);
    if (out.size() > kMaxTextBytes) throw RenderError{"join: a text that is too long"};
  }
  return interpreter.make_string(std::move(out));
}

std::string indentation(const Value& width) {
  if (width.is_string()) return width.as_string();
  if (!width.is_integer()) throw RenderError{"indent: a width or a string was wanted"};
  if (width.as_int() > 4096) throw RenderError{"indent: width above 4096"};
  return std::string(static_cast<size_t>(std::max<int64_t>(width.as_int(), 0)), ' ');
}

Value indent_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("indent", arguments, {"s", "width", "first", "blank"}, 1);
  const std::string by = bound.find(1) ? indentation(bound.at(1)) : std::string(4, ' ');
  const std::string text = to_str(bound.at(0)) + "\n";
  std::string out = bound.flag(2, false) ? by : std::string();
  const auto lines = split_lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    interpreter.step(1 + by.size() / 256);
    if (i > 0) out += '\n';
    if (i > 0 && (!lines[i].empty() || bound.flag(3, false))) out += by;
    out += lines[i];
    if (out.size() > kMaxTextBytes) throw RenderError{"indent: a text that is too long"};
  }
  return interpreter.make_string(std::move(out));
}

Value tojson_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("tojson", arguments, {"x", "ensure_ascii", "indent", "separators", "sort_keys"},
                    1);
  JsonStyle style;
  style.ensure_ascii = bound.flag(1, false);
  if (bound.given(2)) {
    style.indent = indentation(bound.at(2));
    style.item_separator.pop_back();  // json.dumps: no space before a line break
  }
  if (bound.given(3)) {
    const auto parts = iterate(interpreter, bound.at(3));
    if (parts.size() != 2 || !parts[0].is_string() || !parts[1].is_string()) {
      throw RenderError{"tojson: separators must be two strings"};
    }
    style.item_separator = parts[0].as_string();
    style.key_separator = parts[1].as_string();
  }
  style.sort_keys = bound.flag(4, false);
  return interpreter.make_string(to_json(interpreter, bound.at(0), style));
}

Value wordcount_filter(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("wordcount", arguments, {"s"}, 1);
  int64_t words = 0;
  bool in_word = false;
  const std::string text = to_str(bound.at(0));
  interpreter.step(text.size() / 64);
  for (size_t i = 0; i < text.size();) {
    const bool space = is_python_space(next_code_point(text, i));
    if (!space && !in_word) ++words;
    in_word = !space;
  }
  return words;
}

struct Entry {
  std::string_view name;
  Filter filter;
};
constexpr Entry kFilters[] = {
    {"capitalize", plain<capitalize>},
    {"e", plain<escaped>},
    {"escape", plain<escaped>},
    {"indent", indent_filter},
    {"join", join_filter},
    {"lower", plain<lower>},
    {"replace", replace_filter},
    {"safe", plain<unchanged>},
    {"string", plain<unchanged>},
    {"title", plain<title_words>},
    {"tojson", tojson_filter},
    {"trim", trim_filter},
    {"upper", plain<upper>},
    {"wordcount", wordcount_filter},
};

}  // namespace

Filter find_string_filter(std::string_view name) {
  for (const Entry& entry : kFilters) {
    if (entry.name == name) return entry.filter;
  }
  return nullptr;
}

}  // namespace glmoe::jinja
