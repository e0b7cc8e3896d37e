// JSON with the strictness that files from outside need, and errors that name file and field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace glmoe {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

struct JsonLimits {
  size_t max_bytes = size_t{1} << 30;
  int max_depth = 64;
  size_t max_values = SIZE_MAX;  // of all kinds, containers too
  size_t max_key_bytes = SIZE_MAX;
};

// Strict parse: duplicate keys, trailing text, too deep nesting and invalid UTF-8 are refused.
// `what` names the source in messages ("config.json of /models/air"). Throws kCorrupt.
Json parse_json(std::string_view text, const std::string& what, const JsonLimits& limits = {});
// The same, keeping the order of keys (for chat templates, where the order is visible).
OrderedJson parse_ordered_json(std::string_view text, const std::string& what,
                               const JsonLimits& limits = {});
Json read_json_file(const std::string& path, const JsonLimits& limits = {});
// What the library says is wrong, without its own name and number of the error.
std::string json_problem(const nlohmann::json::exception& error);

// Typed access with errors that name `what` and the field; a JSON null counts as absent.
class JsonReader {
 public:
  JsonReader(const Json& object, std::string what);

  bool has(std::string_view key) const;
  int64_t integer(std::string_view key) const;
  int64_t integer_or(std::string_view key, int64_t fallback) const;
  double number(std::string_view key) const;
  double number_or(std::string_view key, double fallback) const;
  bool boolean_or(std::string_view key, bool fallback) const;
  std::string string(std::string_view key) const;
  std::string string_or(std::string_view key, std::string fallback) const;
  JsonReader object(std::string_view key) const;  // throws where absent or of another type
  const Json& raw(std::string_view key) const;    // throws where absent
  const Json& json() const { return object_; }
  const std::string& what() const { return what_; }

 private:
  [[noreturn]] void wrong_type(std::string_view key, std::string_view wanted,
                               const Json& found) const;
  const Json& object_;
  std::string what_;
};

}  // namespace glmoe
