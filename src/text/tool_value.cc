#include "text/tool_value.h"

#include "base/json.h"

namespace glmoe {
namespace {

// Takes a JSON text's outermost type from the parser's events, and bounds its depth.
class TypeSax : public nlohmann::json_sax<Json> {
 public:
  JsonTypes type = 0;

  bool null() override { return see(kJsonNull); }
  bool boolean(bool) override { return see(kJsonBoolean); }
  bool number_integer(int64_t) override { return see(kJsonInteger); }
  bool number_unsigned(uint64_t) override { return see(kJsonInteger); }
  bool number_float(double, const std::string& text) override {
    // Whole numbers beyond 64 bits come here too.
    const bool whole = text.find_first_of(".eE") == std::string::npos;
    return see(whole ? kJsonInteger : kJsonFraction);
  }
  bool string(std::string&) override { return see(kJsonString); }
  bool binary(Json::binary_t&) override { return false; }
  bool start_object(size_t) override { return see(kJsonObject) && ++depth_ <= kMaxArgumentDepth; }
  bool start_array(size_t) override { return see(kJsonArray) && ++depth_ <= kMaxArgumentDepth; }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool key(std::string&) override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  bool see(JsonTypes seen) {
    if (type == 0) type = seen;
    return true;
  }
  int depth_ = 0;
};

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

bool fits(JsonTypes type, JsonTypes types) { return (type & types) != 0; }

// 5.0 for an integer; empty for anything else.
std::string_view whole_part(std::string_view number) {
  const size_t point = number.find('.');
  if (point == std::string_view::npos || point + 1 == number.size()) return {};
  const bool zeros = number.find_first_not_of('0', point + 1) == std::string_view::npos;
  return zeros ? number.substr(0, point) : std::string_view();
}

// JSON or a Python literal that fits `types`; strings do not.
std::optional<std::string> coerced(std::string_view text, JsonTypes types) {
  const std::string_view inner = trimmed(text);
  if (const auto type = json_type(inner)) {
    if (fits(*type, types)) return std::string(inner);
    if (*type == kJsonFraction && fits(kJsonInteger, types)) {
      if (const auto whole = whole_part(inner); !whole.empty()) return std::string(whole);
    }
    return std::nullopt;
  }
  auto literal = python_literal_to_json(inner);
  if (literal && fits(*json_type(*literal), types)) return literal;
  return std::nullopt;
}

}  // namespace

void append_json_escaped(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  size_t plain = 0;  // begin of what needs no escape
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    out += '\\';
    switch (byte) {
      case '\n': out += 'n'; break;
      case '\t': out += 't'; break;
      case '\r': out += 'r'; break;
      case '\b': out += 'b'; break;
      case '\f': out += 'f'; break;
      case '"':
      case '\\': out += text[i]; break;
      default: out.append("u00").append({kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  out.append(text, plain);
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  append_json_escaped(out, text);
  return out += '"';
}

std::optional<JsonTypes> json_type(std::string_view text) {
  // The parser takes a NUL for the end of the text, which is not JSON.
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  TypeSax sax;
  if (!Json::sax_parse(text.begin(), text.end(), &sax)) return std::nullopt;
  return sax.type;
}

std::string json_value(std::string_view text, JsonTypes types) {
  const std::string_view inner = trimmed(text);
  const auto type = json_type(inner);
  if (types == kJsonAny) return type ? std::string(inner) : json_string(text);
  if (fits(kJsonString, types)) {
    const bool is_other = type && *type != kJsonString && fits(*type, types);
    return is_other ? std::string(inner) : json_string(text);
  }
  if (auto value = coerced(inner, types)) return *value;
  // Quoted by JSON's rules, by Python's, or not what was wanted but well-formed all the same.
  const auto literal = type ? std::string(inner) : python_literal_to_json(inner);
  if (!literal) return json_string(text);
  if (*json_type(*literal) == kJsonString) {
    if (auto value = coerced(Json::parse(*literal).get_ref<const std::string&>(), types)) {
      return *value;
    }
    if (!type) return json_string(text);
  }
  return *literal;
}

}  // namespace glmoe
