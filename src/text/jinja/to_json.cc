// tojson: Python's json.dumps, without escapes for HTML.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/library.h"
#include "text/unicode.h"

namespace glmoe::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Interpreter& interpreter, const JsonStyle& style)
      : interpreter_(interpreter), style_(style) {}

  std::string take() { return std::move(out_); }

  void write(const Value& value, int depth) {
    if (depth > kMaxNesting) throw RenderError{"tojson: nested too deeply"};
    interpreter_.step();
    if (out_.size() > kMaxTextBytes) throw RenderError{"tojson: a text that is too long"};
    switch (value.kind()) {
      case Value::Kind::kNone: out_ += "null"; break;
      case Value::Kind::kBool: out_ += value.as_bool() ? "true" : "false"; break;
      case Value::Kind::kInt: append_str(out_, value); break;
      case Value::Kind::kFloat: out_ += number(value.as_double()); break;
      case Value::Kind::kString: string(value.as_string()); break;
      case Value::Kind::kList: list(value, depth); break;
      case Value::Kind::kDict: dict(value.as_dict(), depth); break;
      default: refuse(value);
    }
  }

 private:
  [[noreturn]] static void refuse(const Value& value) {
    throw RenderError{fmt::format(
        "tojson: object of type {} is not JSON serializable{}", type_name(value),
        value.is_undefined() ? fmt::format(" ({})", value.undefined_hint()) : std::string())};
  }

  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }

  void string(std::string_view text) {
    interpreter_.step(text.size() / 256);
    out_ += '"';
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      const uint32_t c = next_code_point(text, i);
      static constexpr std::string_view kFrom = "\"\\\n\r\t\f\b", kTo = "\"\\nrtfb";
      const size_t k = c < 0x80 ? kFrom.find(static_cast<char>(c)) : std::string_view::npos;
      if (k != std::string_view::npos) {
        out_ += '\\';
        out_ += kTo[k];
      } else if (c < 0x20 || (style_.ensure_ascii && c >= 0x7F && c < 0x10000)) {
        out_ += fmt::format("\\u{:04x}", c);
      } else if (style_.ensure_ascii && c >= 0x10000) {
        out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10),
                            0xDC00 + ((c - 0x10000) & 0x3FF));
      } else {
        out_ += text.substr(begin, i - begin);
      }
    }
    out_ += '"';
  }

  void separate(bool first, int depth) {
    if (!first) out_ += style_.item_separator;
    newline(depth);
  }
  void newline(int depth) {
    if (!style_.indent) return;
    out_ += '\n';
    for (int i = 0; i < depth; ++i) out_ += *style_.indent;
    interpreter_.step(style_.indent->size() * static_cast<size_t>(depth) / 256);
  }

  void list(const Value& value, int depth) {
    const List& items = value.as_list();
    if (items.flavor != Flavor::kList && items.flavor != Flavor::kTuple) refuse(value);
    out_ += '[';
    for (size_t i = 0; i < items.items.size(); ++i) {
      separate(i == 0, depth + 1);
      write(items.items[i], depth + 1);
    }
    if (!items.items.empty()) newline(depth);
    out_ += ']';
  }

  static std::string key_text(const Value& key) {
    switch (key.kind()) {
      case Value::Kind::kString: return key.as_string();
      case Value::Kind::kNone: return "null";
      case Value::Kind::kBool: return key.as_bool() ? "true" : "false";
      case Value::Kind::kInt: return to_str(key);
      case Value::Kind::kFloat: return number(key.as_double());
      default: throw RenderError{fmt::format("tojson: a {} cannot be a key", type_name(key))};
    }
  }

  void dict(const Dict& dict, int depth) {
    std::vector<std::pair<std::string, const Value*>> entries;
    for (const auto& entry : dict.entries()) {
      entries.emplace_back(key_text(entry.key), &entry.value);
    }
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
    }
    out_ += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      separate(i == 0, depth + 1);
      string(entries[i].first);
      out_ += style_.key_separator;
      write(*entries[i].second, depth + 1);
    }
    if (!entries.empty()) newline(depth);
    out_ += '}';
  }

  Interpreter& interpreter_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::string to_json(Interpreter& interpreter, const Value& value, const JsonStyle& style) {
  JsonWriter writer(interpreter, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace glmoe::jinja
