#include "serve/api/json_fields.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace glmoe::serve {
namespace {

constexpr size_t kMaxUnknownNamed = 10;
constexpr size_t kMaxWarnings = 20;

[[noreturn]] void fail_body(std::string message) {
  throw ApiError(HttpError{.status = 400, .message = std::move(message), .code = "invalid_json"});
}

[[noreturn]] void wrong_type(const std::string& path, std::string_view wanted,
                             const OrderedJson& found) {
  fail_field(path, "invalid_type", "{} was wanted, found {}", wanted, describe(found));
}

// An integer of either kind, or a float without a fraction that a double holds exactly.
std::optional<int64_t> as_integer(const OrderedJson& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > uint64_t{INT64_MAX}) return INT64_MAX;  // beyond every range that is asked for
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  const auto number = value.get<double>();
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (std::abs(number) > kExact || std::trunc(number) != number) return std::nullopt;
  return static_cast<int64_t>(number);
}

}  // namespace

OrderedJson parse_body(std::string_view body, const ServeLimits& limits) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    fail_body("the request body is empty: a JSON object was wanted");
  }
  // The parser takes a NUL for the end of its input.
  if (const size_t nul = body.find('\0'); nul != std::string_view::npos) {
    fail_body(fmt::format("the request body is not valid JSON: a NUL byte at offset {}", nul));
  }
  try {
    return parse_ordered_json(body, "request body",
                              {.max_depth = limits.max_json_depth,
                               .max_values = limits.max_json_values,
                               .max_key_bytes = limits.max_json_key_bytes});
  } catch (const Error& error) {
    fail_body(shortened(error.what(), 400));
  }
}

std::string shortened(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

std::string describe(const OrderedJson& value) {
  if (value.is_null()) return "null";
  if (value.is_object()) return "an object";
  if (value.is_array()) return fmt::format("an array of {}", value.size());
  if (value.is_string()) {
    return fmt::format("the string \"{}\"", shortened(value.get_ref<const std::string&>()));
  }
  return dump(value);
}

std::string item_path(const std::string& path, size_t index) {
  return fmt::format("{}[{}]", path, index);
}

int64_t integer_value(const OrderedJson& value, const std::string& path, int64_t low,
                      int64_t high) {
  if (!value.is_number()) wrong_type(path, "a whole number", value);
  const std::optional<int64_t> number = as_integer(value);
  if (!number) wrong_type(path, "a whole number", value);
  if (*number < low || *number > high) {
    fail_field(path, "invalid_value", "a whole number from {} to {} was wanted, found {}", low,
               high, describe(value));
  }
  return *number;
}

double number_value(const OrderedJson& value, const std::string& path, const NumberRange& range) {
  if (!value.is_number()) wrong_type(path, "a number", value);
  const auto number = value.get<double>();
  // As the engine will see it: a tiny number may round to a `low` that is not allowed.
  const auto rounded = static_cast<double>(static_cast<float>(number));
  const bool above = range.open_low ? std::min(number, rounded) > range.low : number >= range.low;
  if (!std::isfinite(number) || !above || number > range.high) {
    fail_field(path, "invalid_value", "a number {} {} {} {} was wanted, found {}",
               range.open_low ? "above" : "from", range.low, range.open_low ? "up to" : "to",
               range.high, describe(value));
  }
  return number;
}

const std::string& string_value(const OrderedJson& value, const std::string& path,
                                size_t max_bytes) {
  if (!value.is_string()) wrong_type(path, "a string", value);
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > max_bytes) {
    fail_field(path, "limit_exceeded", "at most {} bytes are accepted, found {}", max_bytes,
               text.size());
  }
  return text;
}

void check_items(const OrderedJson& array, const std::string& path, size_t max_items) {
  if (!array.is_array()) wrong_type(path, "an array", array);
  if (array.size() > max_items) {
    fail_field(path, "limit_exceeded", "at most {} items are accepted, found {}", max_items,
               array.size());
  }
}

Fields::Fields(const OrderedJson& value, std::string path)
    : value_(&value), path_(std::move(path)) {
  if (value.is_object()) return;
  if (path_.empty()) fail_body("the request body: an object was wanted, found " + describe(value));
  wrong_type(path_, "an object", value);
}

std::string Fields::path(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const OrderedJson* Fields::find(std::string_view key) {
  known_.push_back(key);
  const auto it = value_->find(key);
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

const OrderedJson& Fields::require(std::string_view key) {
  const OrderedJson* value = find(key);
  if (value == nullptr) {
    fail_field(path(key), "missing_required_parameter", "this field is required");
  }
  return *value;
}

std::optional<int64_t> Fields::integer(std::string_view key, int64_t low, int64_t high) {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  return integer_value(*value, path(key), low, high);
}

std::optional<double> Fields::number(std::string_view key, const NumberRange& range) {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  return number_value(*value, path(key), range);
}

std::optional<bool> Fields::boolean(std::string_view key) {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) wrong_type(path(key), "true or false", *value);
  return value->get<bool>();
}

std::optional<std::string> Fields::string(std::string_view key, size_t max_bytes) {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  return string_value(*value, path(key), max_bytes);
}

std::string Fields::require_string(std::string_view key, size_t max_bytes) {
  return string_value(require(key), path(key), max_bytes);
}

const OrderedJson* Fields::array(std::string_view key, size_t max_items) {
  const OrderedJson* value = find(key);
  if (value != nullptr) check_items(*value, path(key), max_items);
  return value;
}

std::optional<Fields> Fields::object(std::string_view key) {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  return Fields(*value, path(key));
}

void Fields::ignore(std::initializer_list<std::string_view> keys) {
  known_.insert(known_.end(), keys.begin(), keys.end());
}

void Fields::warn_of_unknown(std::vector<std::string>& warnings) const {
  size_t unknown = 0;
  for (const auto& [key, value] : value_->items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    if (++unknown > kMaxUnknownNamed) continue;
    // As JSON text: a line break in a name must not begin a line of the log.
    const std::string name = dump(OrderedJson(shortened(key)));
    add_warning(warnings, path(std::string_view(name).substr(1, name.size() - 2)),
                "unknown field, ignored");
  }
  if (unknown > kMaxUnknownNamed) {
    add_warning(warnings, path_.empty() ? "body" : path_,
                fmt::format("{} further unknown fields, ignored", unknown - kMaxUnknownNamed));
  }
}

void add_warning(std::vector<std::string>& warnings, const std::string& path,
                 std::string_view text) {
  if (warnings.size() < kMaxWarnings) warnings.push_back(fmt::format("{}: {}", path, text));
}

}  // namespace glmoe::serve
