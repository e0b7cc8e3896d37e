// Python's methods of str, as far as templates use them.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/unicode.h"

namespace glmoe::jinja {
namespace {

constexpr std::string_view kMethods[] = {
    "capitalize", "count",      "endswith",   "find",         "index",        "isalnum",
    "isalpha",    "isdigit",    "islower",    "isspace",      "isupper",      "join",
    "lower",      "lstrip",     "partition",  "removeprefix", "removesuffix", "replace",
    "rfind",      "rindex",     "rpartition", "rsplit",       "rstrip",       "split",
    "splitlines", "startswith", "strip",      "title",        "upper",        "zfill",
};

Value as_list(Interpreter& interpreter, const std::vector<std::string_view>& parts,
              Flavor flavor = Flavor::kList) {
  std::vector<Value> items;
  for (const auto part : parts) items.push_back(interpreter.make_string(std::string(part)));
  return interpreter.make_list(std::move(items), flavor);
}

size_t previous_character(std::string_view text, size_t position) {
  do --position;
  while (position > 0 && (static_cast<uint8_t>(text[position]) & 0xC0) == 0x80);
  return position;
}

bool space_at(std::string_view text, size_t position) {
  return is_python_space(next_code_point(text, position));
}

// split() without a separator: at runs of white space; what is left after `limit` splits (-1: all)
// keeps its white space at the far end.
std::vector<std::string_view> split_words(std::string_view text, int64_t limit) {
  std::vector<std::string_view> parts;
  size_t position = 0;
  while (true) {
    while (position < text.size() && space_at(text, position)) next_code_point(text, position);
    if (position == text.size()) return parts;
    if (limit == 0) {
      parts.push_back(text.substr(position));
      return parts;
    }
    --limit;
    const size_t begin = position;
    while (position < text.size() && !space_at(text, position)) next_code_point(text, position);
    parts.push_back(text.substr(begin, position - begin));
  }
}

std::vector<std::string_view> split_words_from_right(std::string_view text, int64_t limit) {
  std::vector<std::string_view> parts;
  size_t end = text.size();
  while (true) {
    while (end > 0 && space_at(text, previous_character(text, end))) {
      end = previous_character(text, end);
    }
    if (end == 0) break;
    if (limit == 0) {
      parts.push_back(text.substr(0, end));
      break;
    }
    --limit;
    const size_t word_end = end;
    while (end > 0 && !space_at(text, previous_character(text, end))) {
      end = previous_character(text, end);
    }
    parts.push_back(text.substr(end, word_end - end));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_by(std::string_view text, std::string_view separator,
                                       int64_t limit, bool from_right) {
  std::vector<std::string_view> parts;
  for (; limit != 0; --limit) {
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) break;
    if (from_right) {
      parts.push_back(text.substr(at + separator.size()));
      text = text.substr(0, at);
    } else {
      parts.push_back(text.substr(0, at));
      text = text.substr(at + separator.size());
    }
  }
  parts.push_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

Value split(Interpreter& interpreter, std::string_view self, std::string_view name,
            const Arguments& arguments) {
  const Bound bound(name, arguments, {"sep", "maxsplit"});
  const int64_t limit = bound.integer(1, -1);
  const bool from_right = name == "rsplit";
  if (!bound.given(0)) {
    return as_list(interpreter,
                   from_right ? split_words_from_right(self, limit) : split_words(self, limit));
  }
  const std::string separator = bound.string(0, "");
  if (separator.empty()) throw RenderError{"split: empty separator"};
  return as_list(interpreter, split_by(self, separator, limit, from_right));
}

Value partition(Interpreter& interpreter, std::string_view self, std::string_view name,
                const Arguments& arguments) {
  const Bound bound(name, arguments, {"sep"}, 1);
  const std::string separator = bound.string(0, "");
  if (separator.empty()) throw RenderError{"partition: empty separator"};
  const bool last = name == "rpartition";
  const size_t at = last ? self.rfind(separator) : self.find(separator);
  std::vector<std::string_view> parts;
  if (at == std::string_view::npos) {
    parts = last ? std::vector<std::string_view>{"", "", self}
                 : std::vector<std::string_view>{self, "", ""};
  } else {
    parts = {self.substr(0, at), separator, self.substr(at + separator.size())};
  }
  return as_list(interpreter, parts, Flavor::kTuple);
}

Value starts_or_ends(std::string_view self, std::string_view name, const Arguments& arguments) {
  const Bound bound(name, arguments, {"prefix"}, 1);
  const auto fits = [&](const Value& part) {
    if (!part.is_string()) {
      require_defined(part);
      throw RenderError{
          fmt::format("{} first arg must be str or a tuple of str, not {}", name, type_name(part))};
    }
    const std::string& text = part.as_string();
    return name == "startswith"
               ? self.substr(0, text.size()) == text
               : self.size() >= text.size() && self.substr(self.size() - text.size()) == text;
  };
  if (!bound.at(0).is_list(Flavor::kTuple)) return fits(bound.at(0));
  const auto& items = bound.at(0).as_list().items;
  return std::any_of(items.begin(), items.end(), fits);
}

Value find(std::string_view self, std::string_view name, const Arguments& arguments) {
  const Bound bound(name, arguments, {"sub"}, 1);
  const std::string part = bound.string(0, "");
  const size_t at = name[0] == 'r' ? self.rfind(part) : self.find(part);
  if (at != std::string_view::npos) {
    return static_cast<int64_t>(count_code_points(self.substr(0, at)));
  }
  if (name == "index" || name == "rindex") throw RenderError{"substring not found"};
  return -1;
}

Value count(std::string_view self, const Arguments& arguments) {
  const Bound bound("count", arguments, {"sub"}, 1);
  const std::string part = bound.string(0, "");
  if (part.empty()) return static_cast<int64_t>(count_code_points(self)) + 1;
  int64_t found = 0;
  for (size_t at = 0; (at = self.find(part, at)) != std::string_view::npos; at += part.size()) {
    ++found;
  }
  return found;
}

Value join(Interpreter& interpreter, std::string_view self, const Arguments& arguments) {
  const Bound bound("join", arguments, {"iterable"}, 1);
  std::string out;
  bool first = true;
  for (const Value& item : iterate(interpreter, bound.at(0))) {
    if (!item.is_string()) {
      throw RenderError{fmt::format("join: expected str instance, {} found", type_name(item))};
    }
    if (!first) out += self;
    first = false;
    out += item.as_string();
    if (out.size() > kMaxTextBytes) throw RenderError{"join: a text that is too long"};
  }
  return interpreter.make_string(std::move(out));
}

Value strip_method(Interpreter& interpreter, std::string_view self, std::string_view name,
                   const Arguments& arguments) {
  const Bound bound(name, arguments, {"chars"});
  const std::string set = bound.given(0) ? bound.string(0, "") : std::string();
  interpreter.step(set.size() * self.size() / 1024);
  return interpreter.make_string(std::string(
      strip(self, bound.given(0) ? &set : nullptr, name != "rstrip", name != "lstrip")));
}

Value replace_method(Interpreter& interpreter, std::string_view self, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  const std::string from = bound.string(0, ""), to = bound.string(1, "");
  if ((self.size() / std::max<size_t>(from.size(), 1) + 1) * to.size() > kMaxTextBytes) {
    throw RenderError{"replace: the result may be too long"};
  }
  return interpreter.make_string(replace(self, from, to, bound.integer(2, -1)));
}

Value zfill(Interpreter& interpreter, std::string_view self, const Arguments& arguments) {
  const Bound bound("zfill", arguments, {"width"}, 1);
  const int64_t missing = bound.integer(0, 0) - static_cast<int64_t>(count_code_points(self));
  if (missing > 4096) throw RenderError{"zfill: more than 4096 zeros"};
  const size_t sign = !self.empty() && (self[0] == '-' || self[0] == '+') ? 1 : 0;
  return interpreter.make_string(
      std::string(self.substr(0, sign)) +
      std::string(static_cast<size_t>(std::max<int64_t>(missing, 0)), '0') +
      std::string(self.substr(sign)));
}

// isspace, isdigit, isalpha, isalnum: all characters are, and there is one. Letters and digits as
// far as ASCII; beyond it, letters are what has a case.
bool all_are(std::string_view self, std::string_view name) {
  for (size_t i = 0; i < self.size();) {
    const uint32_t c = next_code_point(self, i);
    const bool digit = c >= '0' && c <= '9';
    const bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 0x80) || is_cased(c);
    const bool fits = name == "isspace"   ? is_python_space(c)
                      : name == "isdigit" ? digit
                      : name == "isalpha" ? letter
                                          : letter || digit;
    if (!fits) return false;
  }
  return !self.empty();
}

Value split_lines_method(Interpreter& interpreter, std::string_view self,
                         const Arguments& arguments) {
  const Bound bound("splitlines", arguments, {"keepends"});
  if (bound.flag(0, false)) {
    throw RenderError{"splitlines: keepends is not supported", ErrorCode::kUnsupported};
  }
  return as_list(interpreter, split_lines(self));
}

}  // namespace

bool has_string_method(std::string_view name) {
  return name == "format" ||
         std::find(std::begin(kMethods), std::end(kMethods), name) != std::end(kMethods);
}

Value call_string_method(Interpreter& interpreter, const std::string& self, std::string_view name,
                         const Arguments& arguments) {
  if (name == "split" || name == "rsplit") return split(interpreter, self, name, arguments);
  if (name == "partition" || name == "rpartition") {
    return partition(interpreter, self, name, arguments);
  }
  if (name == "startswith" || name == "endswith") return starts_or_ends(self, name, arguments);
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex") {
    return find(self, name, arguments);
  }
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    return strip_method(interpreter, self, name, arguments);
  }
  if (name == "count") return count(self, arguments);
  if (name == "join") return join(interpreter, self, arguments);
  if (name == "replace") return replace_method(interpreter, self, arguments);
  if (name == "zfill") return zfill(interpreter, self, arguments);
  if (name == "splitlines") return split_lines_method(interpreter, self, arguments);
  if (name == "removeprefix" || name == "removesuffix") {
    const Bound bound(name, arguments, {"part"}, 1);
    const std::string part = bound.string(0, "");
    std::string_view rest = self;
    if (name == "removeprefix" && rest.substr(0, part.size()) == part) {
      rest.remove_prefix(part.size());
    } else if (name == "removesuffix" && rest.size() >= part.size() &&
               rest.substr(rest.size() - part.size()) == part) {
      rest.remove_suffix(part.size());
    }
    return interpreter.make_string(std::string(rest));
  }
  if (name == "format") {
    throw RenderError{"str.format is not supported; join strings with ~", ErrorCode::kUnsupported};
  }
  const Bound bound(name, arguments, {});
  if (name == "upper") return interpreter.make_string(upper(self));
  if (name == "lower") return interpreter.make_string(lower(self));
  if (name == "title") return interpreter.make_string(title(self));
  if (name == "capitalize") return interpreter.make_string(capitalize(self));
  if (name == "isupper") return self == upper(self) && upper(self) != lower(self);
  if (name == "islower") return self == lower(self) && upper(self) != lower(self);
  return all_are(self, name);
}

}  // namespace glmoe::jinja
