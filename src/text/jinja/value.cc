#include "text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/unicode.h"

namespace glmoe::jinja {
namespace {

int checked_depth(int inner) {
  if (inner >= kMaxNesting) {
    throw RenderError{fmt::format("lists and dicts nested deeper than {} levels", kMaxNesting)};
  }
  return inner + 1;
}

bool numbers_equal(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) return a.as_int() == b.as_int();
  return a.as_double() == b.as_double();
}

bool dicts_equal(const Dict& a, const Dict& b, size_t& work, int depth) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& entry : a.entries()) {
    const Value* other = b.find(entry.key);
    if (other == nullptr || !equals(entry.value, *other, work, depth + 1)) return false;
  }
  return true;
}

// Characters that repr() writes as escapes: controls, formats, separators, private use.
bool is_printable(uint32_t c) {
  if (c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD) return false;
  if (c != ' ' && is_python_space(c)) return false;
  return !((c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || (c >= 0xE000 && c <= 0xF8FF) || c == 0xFEFF ||
           (c >= 0xFFF0 && c <= 0xFFFB) || c >= 0xE0000 || (c & 0xFFFE) == 0xFFFE);
}

void append_string_repr(std::string& out, std::string_view text) {
  const bool single =
      text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const uint32_t quote = single ? '\'' : '"';
  append_utf8(out, quote);
  for (size_t i = 0; i < text.size();) {
    const uint32_t c = next_code_point(text, i);
    if (c == quote || c == '\\') {
      out += '\\';
      append_utf8(out, c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      append_utf8(out, c);
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", c);
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += fmt::format("\\U{:08x}", c);
    }
  }
  append_utf8(out, quote);
}

void append_list_repr(std::string& out, const List& list, int depth) {
  if (list.flavor == Flavor::kGenerator) {
    out += "<generator object>";
    return;
  }
  if (list.flavor == Flavor::kRange) {
    const int64_t first = list.items.empty() ? 0 : list.items.front().as_int();
    out += fmt::format("range({}, {})", first, first + static_cast<int64_t>(list.items.size()));
    return;
  }
  const bool tuple = list.flavor == Flavor::kTuple;
  if (list.flavor == Flavor::kDictView) out += "dict_view(";
  out += tuple ? '(' : '[';
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(out, list.items[i], depth + 1);
  }
  if (tuple && list.items.size() == 1) out += ',';
  out += tuple ? ')' : ']';
  if (list.flavor == Flavor::kDictView) out += ')';
}

void append_dict_repr(std::string& out, const Dict& dict, int depth) {
  out += '{';
  bool first = true;
  for (const auto& entry : dict.entries()) {
    if (!first) out += ", ";
    first = false;
    append_repr(out, entry.key, depth + 1);
    out += ": ";
    append_repr(out, entry.value, depth + 1);
  }
  out += '}';
}

}  // namespace

std::optional<Value> Callable::attribute(std::string_view) const { return std::nullopt; }

std::optional<size_t> Dict::index_of(const Value& key) const {
  if (key.is_string() && !by_string_.empty()) {
    const auto it = by_string_.find(key.as_string());
    if (it == by_string_.end()) return std::nullopt;
    return it->second;
  }
  size_t work = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (equals(entries_[i].key, key, work)) return i;
  }
  return std::nullopt;
}

const Value* Dict::find(const Value& key) const {
  const auto index = index_of(key);
  return index ? &entries_[*index].value : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (by_string_.empty()) {
    for (const Entry& entry : entries_) {
      if (entry.key.is_string() && entry.key.as_string() == key) return &entry.value;
    }
    return nullptr;
  }
  const auto it = by_string_.find(std::string(key));
  return it == by_string_.end() ? nullptr : &entries_[it->second].value;
}

void Dict::set(Value key, Value value) {
  constexpr size_t kIndexFrom = 12;  // below, a linear search is as quick
  depth = std::max(depth, checked_depth(std::max(key.nesting_depth(), value.nesting_depth())));
  if (const auto index = index_of(key)) {
    entries_[*index].value = std::move(value);
    return;
  }
  entries_.push_back({std::move(key), std::move(value)});
  if (entries_.size() < kIndexFrom) return;
  const size_t begin = by_string_.empty() ? 0 : entries_.size() - 1;
  for (size_t i = begin; i < entries_.size(); ++i) {
    if (entries_[i].key.is_string()) by_string_[entries_[i].key.as_string()] = i;
  }
}

Value Value::undefined(std::string hint) {
  Value value;
  value.data_ = Undefined{std::make_shared<const std::string>(std::move(hint))};
  return value;
}

Value Value::list(std::vector<Value> items, Flavor flavor) {
  int inner = 0;
  for (const Value& item : items) inner = std::max(inner, item.nesting_depth());
  auto list = std::make_shared<List>();
  list->items = std::move(items);
  list->flavor = flavor;
  list->depth = checked_depth(inner);
  return Value(std::shared_ptr<const List>(std::move(list)));
}

Value Value::dict(Dict dict) {
  return Value(std::shared_ptr<const Dict>(std::make_shared<Dict>(std::move(dict))));
}

std::string_view Value::undefined_hint() const {
  const auto& hint = std::get<Undefined>(data_).hint;
  return hint ? std::string_view(*hint) : std::string_view("value is undefined");
}

const void* Value::identity() const {
  switch (kind()) {
    case Kind::kList: return &as_list();
    case Kind::kDict: return &as_dict();
    case Kind::kNamespace: return &as_namespace();
    case Kind::kCallable: return &as_callable();
    default: return nullptr;
  }
}

int Value::nesting_depth() const {
  if (is_list()) return as_list().depth;
  if (is_dict()) return as_dict().depth;
  return 0;
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kUndefined:
    case Value::Kind::kNone: return false;
    case Value::Kind::kBool: return value.as_bool();
    case Value::Kind::kInt: return value.as_int() != 0;
    case Value::Kind::kFloat: return value.as_double() != 0.0;
    case Value::Kind::kString: return !value.as_string().empty();
    case Value::Kind::kList:
      return value.as_list().flavor == Flavor::kGenerator || !value.as_list().items.empty();
    case Value::Kind::kDict: return !value.as_dict().entries().empty();
    default: return true;
  }
}

bool equals(const Value& a, const Value& b, size_t& work, int depth) {
  if (++work > kMaxCompareWork) throw RenderError{"comparison of values that are too large"};
  if (depth > kMaxNesting) throw RenderError{"comparison of values nested too deeply"};
  if (a.is_number() && b.is_number()) return numbers_equal(a, b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::Kind::kUndefined:
    case Value::Kind::kNone: return true;
    case Value::Kind::kString: return a.as_string() == b.as_string();
    case Value::Kind::kList: {
      if (a.identity() == b.identity()) return true;
      const List& x = a.as_list();
      const List& y = b.as_list();
      if (x.flavor != y.flavor || x.items.size() != y.items.size()) return false;
      if (x.flavor == Flavor::kGenerator || x.flavor == Flavor::kDictView) return false;
      for (size_t i = 0; i < x.items.size(); ++i) {
        if (!equals(x.items[i], y.items[i], work, depth + 1)) return false;
      }
      return true;
    }
    case Value::Kind::kDict: return dicts_equal(a.as_dict(), b.as_dict(), work, depth);
    default: return a.identity() == b.identity();
  }
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  const char* digits_of_exponent = buffer + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(digits_of_exponent, end, exponent);
  const bool negative = text[0] == '-';
  std::string digits;
  for (const char c : text.substr(negative ? 1 : 0, e - (negative ? 1 : 0))) {
    if (c != '.') digits += c;
  }
  std::string out = negative ? "-" : "";
  const int count = static_cast<int>(digits.size());
  const std::string_view all = digits;
  const auto zeros = [](int number) { return std::string(static_cast<size_t>(number), '0'); };
  if (exponent < -4 || exponent >= 16) {  // Python's repr changes over at these
    out += fmt::format("{}{}{}e{}{:02}", all.substr(0, 1), count > 1 ? "." : "", all.substr(1),
                       exponent < 0 ? '-' : '+', std::abs(exponent));
  } else if (exponent < 0) {
    out += fmt::format("0.{}{}", zeros(-exponent - 1), all);
  } else if (exponent + 1 >= count) {
    out += fmt::format("{}{}.0", all, zeros(exponent + 1 - count));
  } else {
    const auto whole = static_cast<size_t>(exponent + 1);
    out += fmt::format("{}.{}", all.substr(0, whole), all.substr(whole));
  }
  return out;
}

void append_repr(std::string& out, const Value& value, int depth) {
  if (depth > kMaxNesting) throw RenderError{"a value nested too deeply cannot be printed"};
  if (out.size() > kMaxTextBytes) {
    throw RenderError{fmt::format("a text of more than {} bytes", kMaxTextBytes)};
  }
  switch (value.kind()) {
    case Value::Kind::kUndefined: out += "Undefined"; break;
    case Value::Kind::kString: append_string_repr(out, value.as_string()); break;
    case Value::Kind::kList: append_list_repr(out, value.as_list(), depth); break;
    case Value::Kind::kDict: append_dict_repr(out, value.as_dict(), depth); break;
    case Value::Kind::kNamespace:
      out += "<Namespace ";
      append_dict_repr(out, value.as_namespace().attributes, depth + 1);
      out += '>';
      break;
    case Value::Kind::kCallable:
      out += fmt::format("<function {}>", value.as_callable().name());
      break;
    default: append_str(out, value);
  }
}

void append_str(std::string& out, const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kUndefined: break;
    case Value::Kind::kNone: out += "None"; break;
    case Value::Kind::kBool: out += value.as_bool() ? "True" : "False"; break;
    case Value::Kind::kInt: fmt::format_to(std::back_inserter(out), "{}", value.as_int()); break;
    case Value::Kind::kFloat: out += float_repr(value.as_double()); break;
    case Value::Kind::kString: out += value.as_string(); break;
    default: append_repr(out, value);
  }
}

std::string to_str(const Value& value) {
  std::string out;
  append_str(out, value);
  return out;
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kUndefined: return "Undefined";
    case Value::Kind::kNone: return "NoneType";
    case Value::Kind::kBool: return "bool";
    case Value::Kind::kInt: return "int";
    case Value::Kind::kFloat: return "float";
    case Value::Kind::kString: return "str";
    case Value::Kind::kList:
      switch (value.as_list().flavor) {
        case Flavor::kList: return "list";
        case Flavor::kTuple: return "tuple";
        case Flavor::kGenerator: return "generator";
        case Flavor::kDictView: return "dict_view";
        case Flavor::kRange: return "range";
      }
      return "list";
    case Value::Kind::kDict: return "dict";
    case Value::Kind::kNamespace: return "Namespace";
    case Value::Kind::kCallable: return "function";
  }
  return "object";
}

}  // namespace glmoe::jinja
