// Reads a request body field by field: checks type and range, knows the way to the field for the
// error, and notices fields that nobody asked for. A JSON null counts as an absent field.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api/api_error.h"
#include "serve/api/limits.h"

namespace glmoe::serve {

// The body as JSON; ApiError where it is not one strict JSON document within the limits: empty,
// malformed UTF-8, a lone surrogate, a number beyond double's range, a key twice, text behind it.
// A byte order mark is skipped; an escaped NUL (\u0000) is a character like others.
OrderedJson parse_body(std::string_view body, const ServeLimits& limits);

// JSON text; what is not UTF-8 becomes U+FFFD.
template <class J>
std::string dump(const J& value) {
  return value.dump(-1, ' ', false, J::error_handler_t::replace);
}

// A value for an error message: its type, and itself where it is short.
std::string describe(const OrderedJson& value);
// At most `max_bytes` of it, cut between characters, with "..." where something was cut off.
std::string shortened(std::string_view text, size_t max_bytes = 60);

std::string item_path(const std::string& path, size_t index);  // "messages[3]"

struct NumberRange {
  double low;
  double high;
  bool open_low = false;  // `low` itself is not allowed
};

class Fields {
 public:
  // ApiError where `value` is not an object. It must outlive the reader. `path`: "" for the body.
  Fields(const OrderedJson& value, std::string path);

  // nullptr where the field is absent or null.
  const OrderedJson* find(std::string_view key);
  const OrderedJson& require(std::string_view key);
  // The rest answers nullopt (nullptr) for an absent field and throws for a wrong one.
  // Whole numbers may be written 5 or 5.0.
  std::optional<int64_t> integer(std::string_view key, int64_t low, int64_t high);
  std::optional<double> number(std::string_view key, const NumberRange& range);
  std::optional<bool> boolean(std::string_view key);
  bool boolean_or(std::string_view key, bool fallback) { return boolean(key).value_or(fallback); }
  std::optional<std::string> string(std::string_view key, size_t max_bytes = SIZE_MAX);
  const OrderedJson* array(std::string_view key, size_t max_items);
  std::optional<Fields> object(std::string_view key);
  std::string require_string(std::string_view key, size_t max_bytes = SIZE_MAX);

  // Accepted, of whatever type, and without effect here.
  void ignore(std::initializer_list<std::string_view> keys);
  // The paths of the fields that were neither asked for nor ignored; at most ten are named.
  void warn_of_unknown(std::vector<std::string>& warnings) const;

  std::string path(std::string_view key) const;
  const std::string& path() const { return path_; }

 private:
  const OrderedJson* value_;
  std::string path_;
  std::vector<std::string_view> known_;
};

// Adds "path: text"; a request may fill the log with 20 of them at most.
void add_warning(std::vector<std::string>& warnings, const std::string& path,
                 std::string_view text);

// The same checks for a value that is not a member of an object.
int64_t integer_value(const OrderedJson& value, const std::string& path, int64_t low, int64_t high);
double number_value(const OrderedJson& value, const std::string& path, const NumberRange& range);
const std::string& string_value(const OrderedJson& value, const std::string& path,
                                size_t max_bytes = SIZE_MAX);
void check_items(const OrderedJson& array, const std::string& path, size_t max_items);

}  // namespace glmoe::serve
