// Which JSON types the parameters of a request's tools take: what their schemas say, boiled down.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace glmoe {

// A set of JSON types, one bit each.
using JsonTypes = uint8_t;
constexpr JsonTypes kJsonString = 1, kJsonInteger = 2, kJsonFraction = 4, kJsonBoolean = 8,
                    kJsonNull = 16, kJsonArray = 32, kJsonObject = 64;
constexpr JsonTypes kJsonNumber = kJsonInteger | kJsonFraction;
constexpr JsonTypes kJsonAny = 127;  // nothing is known

class ToolSchema {
 public:
  // Of a parameter; kJsonAny for one that the schema does not say anything about.
  JsonTypes types_of(std::string_view parameter) const {
    const auto it = parameters_.find(parameter);
    return it == parameters_.end() ? others_ : it->second;
  }

 private:
  friend class SchemaReader;
  std::map<std::string, JsonTypes, std::less<>> parameters_;
  JsonTypes others_ = kJsonAny;  // additionalProperties
};

class ToolSchemas {
 public:
  // `tools_json`: empty, null, or an array of tools, each {"type": "function", "function": {"name",
  // "parameters"}} or flat. Reads type, nullable, enum, const, anyOf, oneOf, allOf and local $ref;
  // what it can't resolve restricts nothing. Throws kInvalidArgument for malformed JSON.
  explicit ToolSchemas(std::string_view tools_json);

  // nullptr for a tool that was not given. Of two with the same name the first counts.
  const ToolSchema* find(std::string_view tool) const {
    const auto it = tools_.find(tool);
    return it == tools_.end() ? nullptr : &it->second;
  }

 private:
  std::map<std::string, ToolSchema, std::less<>> tools_;
};

}  // namespace glmoe
