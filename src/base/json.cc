#include "base/json.h"

#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace glmoe {
namespace {

// Builds the document while nlohmann's lexer and grammar walk the text: strict, and in linear time
// (nlohmann's parser with a callback looks through all members of a parent whenever a child ends).
template <class J>
class StrictBuilder : public nlohmann::json_sax<J> {
 public:
  StrictBuilder(const std::string& what, const JsonLimits& limits) : what_(what), limits_(limits) {}
  J take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(typename J::number_integer_t value) override { return add(value); }
  bool number_unsigned(typename J::number_unsigned_t value) override { return add(value); }
  bool number_float(typename J::number_float_t value, const std::string&) override {
    return add(value);
  }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(typename J::binary_t& value) override { return add(std::move(value)); }
  bool start_object(size_t) override { return open(J::object()); }
  bool start_array(size_t) override { return open(J::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& value) override {
    if (value.size() > limits_.max_key_bytes) {
      fail(ErrorCode::kCorrupt, "{}: a JSON key of {} bytes, at most {} are accepted", what_,
           value.size(), limits_.max_key_bytes);
    }
    if (!stack_.back().keys.insert(value).second) {
      fail(ErrorCode::kCorrupt, "{}: JSON key '{}' appears twice in one object", what_, value);
    }
    key_ = std::move(value);
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what_, json_problem(error));
  }

 private:
  struct Level {
    J* container;  // stays good: no container grows while a child of it is open
    std::unordered_set<std::string> keys;
  };

  J* put(J value) {
    if (++num_values_ > limits_.max_values) {
      fail(ErrorCode::kCorrupt, "{}: more than {} JSON values", what_, limits_.max_values);
    }
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    J& parent = *stack_.back().container;
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    auto& members = parent.template get_ref<typename J::object_t&>();
    if constexpr (std::is_same_v<J, OrderedJson>) {  // its own emplace looks through all members
      auto& list = static_cast<typename J::object_t::Container&>(members);
      return &list.emplace_back(std::move(key_), std::move(value)).second;
    } else {
      return &members.emplace(std::move(key_), std::move(value)).first->second;
    }
  }
  template <class T>
  bool add(T value) {
    put(J(std::move(value)));
    return true;
  }
  bool open(J container) {
    if (static_cast<int>(stack_.size()) >= limits_.max_depth) {
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {} levels", what_, limits_.max_depth);
    }
    stack_.push_back({put(std::move(container)), {}});
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  const std::string& what_;
  const JsonLimits& limits_;
  size_t num_values_ = 0;
  J root_;
  std::vector<Level> stack_;
  std::string key_;
};

template <class J>
J parse_strictly(std::string_view text, const std::string& what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    fail(ErrorCode::kCorrupt, "{}: {} bytes of JSON, at most {} are accepted", what, text.size(),
         limits.max_bytes);
  }
  StrictBuilder<J> builder(what, limits);
  J::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
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

std::string json_problem(const nlohmann::json::exception& error) {
  const std::string_view text = error.what();
  const size_t end = text.find("] ");
  return std::string(text.substr(end == std::string_view::npos ? 0 : end + 2));
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
