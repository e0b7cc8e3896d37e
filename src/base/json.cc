#include "base/json.h"

#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace glmoe {
namespace {

// Refuses duplicate keys and deep nesting while nlohmann's parser walks the text.
template <class J>
J parse_strictly(std::string_view text, const std::string& what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    fail(ErrorCode::kCorrupt, "{}: {} bytes of JSON, at most {} are accepted", what, text.size(),
         limits.max_bytes);
  }
  std::vector<std::set<std::string, std::less<>>> keys;
  const auto watch = [&](int depth, typename J::parse_event_t event, J& parsed) {
    if (depth > limits.max_depth) {
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {} levels", what, limits.max_depth);
    }
    if (event == J::parse_event_t::object_start) keys.emplace_back();
    if (event == J::parse_event_t::object_end) keys.pop_back();
    if (event == J::parse_event_t::key) {
      const auto& key = parsed.template get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        fail(ErrorCode::kCorrupt, "{}: JSON key '{}' appears twice in one object", what, key);
      }
    }
    return true;
  };
  try {
    return J::parse(text.begin(), text.end(), watch);
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what, error.what());
  }
}

std::string type_name_of(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return fmt::format("{} {}", value.type_name(), text);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& what, const JsonLimits& limits) {
  return parse_strictly<Json>(text, what, limits);
}

OrderedJson parse_ordered_json(std::string_view text, const std::string& what,
                               const JsonLimits& limits) {
  return parse_strictly<OrderedJson>(text, what, limits);
}

Json read_json_file(const std::string& path, const JsonLimits& limits) {
  return parse_json(read_text_file(path, limits.max_bytes), path, limits);
}

JsonReader::JsonReader(const Json& object, std::string what)
    : object_(object), what_(std::move(what)) {
  if (!object_.is_object()) {
    fail(ErrorCode::kCorrupt, "{}: a JSON object was wanted, found {}", what_,
         type_name_of(object_));
  }
}

bool JsonReader::has(std::string_view key) const {
  const auto it = object_.find(key);
  return it != object_.end() && !it->is_null();
}

const Json& JsonReader::raw(std::string_view key) const {
  if (!has(key)) fail(ErrorCode::kCorrupt, "{}: field '{}' is missing", what_, key);
  return *object_.find(key);
}

int64_t JsonReader::integer(std::string_view key) const {
  const Json& value = raw(key);
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) {
    wrong_type(key, "a 64-bit whole number", value);
  }
  if (!value.is_number_integer()) wrong_type(key, "a whole number", value);
  return value.get<int64_t>();
}

int64_t JsonReader::integer_or(std::string_view key, int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}

double JsonReader::number(std::string_view key) const {
  const Json& value = raw(key);
  if (!value.is_number()) wrong_type(key, "a number", value);
  return value.get<double>();
}

double JsonReader::number_or(std::string_view key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

bool JsonReader::boolean_or(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  const Json& value = raw(key);
  if (!value.is_boolean()) wrong_type(key, "true or false", value);
  return value.get<bool>();
}

std::string JsonReader::string(std::string_view key) const {
  const Json& value = raw(key);
  if (!value.is_string()) wrong_type(key, "a string", value);
  return value.get<std::string>();
}

std::string JsonReader::string_or(std::string_view key, std::string fallback) const {
  return has(key) ? string(key) : fallback;
}

JsonReader JsonReader::object(std::string_view key) const {
  const Json& value = raw(key);
  if (!value.is_object()) wrong_type(key, "an object", value);
  return JsonReader(value, fmt::format("{}, field '{}'", what_, key));
}

void JsonReader::wrong_type(std::string_view key, std::string_view wanted,
                            const Json& found) const {
  fail(ErrorCode::kCorrupt, "{}: field '{}': {} was wanted, found {}", what_, key, wanted,
       type_name_of(found));
}

}  // namespace glmoe
