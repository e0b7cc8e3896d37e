#include "text/tool_schema.h"

#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace glmoe {

// Schemas come from strangers and may refer to themselves, so both depth and total work are
// bounded; beyond the bound a schema restricts nothing.
class SchemaReader {
 public:
  // `root`: what local references start from.
  SchemaReader(const Json& root, int& steps_left) : root_(root), steps_left_(steps_left) {}

  ToolSchema read() {
    ToolSchema schema;
    collect(root_, schema, 0);
    return schema;
  }

 private:
  static constexpr int kMaxDepth = 32;

  bool may_visit(const Json& schema, int depth) {
    return schema.is_object() && depth <= kMaxDepth && --steps_left_ > 0;
  }

  // nullptr where `schema` has no such member.
  static const Json* member(const Json& schema, const char* name) {
    const auto it = schema.find(name);
    return it == schema.end() ? nullptr : &*it;
  }

  const Json* referred(const Json& schema) const {
    const Json* reference = member(schema, "$ref");
    if (reference == nullptr || !reference->is_string()) return nullptr;
    const std::string& text = reference->get_ref<const std::string&>();
    if (text.empty() || text[0] != '#') return nullptr;
    try {
      const Json::json_pointer pointer(text.substr(1));
      return root_.contains(pointer) ? &root_.at(pointer) : nullptr;
    } catch (const Json::exception&) {  // not a pointer: an anchor, say
      return nullptr;
    }
  }

  static JsonTypes named_type(const Json& name) {
    static const std::pair<std::string_view, JsonTypes> kNames[] = {
        {"string", kJsonString},   {"integer", kJsonInteger}, {"number", kJsonNumber},
        {"boolean", kJsonBoolean}, {"null", kJsonNull},       {"array", kJsonArray},
        {"object", kJsonObject},   {"str", kJsonString},      {"int", kJsonInteger},
        {"float", kJsonNumber},    {"bool", kJsonBoolean},    {"list", kJsonArray},
        {"dict", kJsonObject}};  // the last six: Python's names, which some clients send
    if (!name.is_string()) return kJsonAny;
    for (const auto& [text, types] : kNames) {
      if (name.get_ref<const std::string&>() == text) return types;
    }
    return kJsonAny;
  }

  static JsonTypes type_of_value(const Json& value) {
    switch (value.type()) {
      case Json::value_t::string: return kJsonString;
      case Json::value_t::boolean: return kJsonBoolean;
      case Json::value_t::null: return kJsonNull;
      case Json::value_t::array: return kJsonArray;
      case Json::value_t::object: return kJsonObject;
      case Json::value_t::number_float: return kJsonNumber;
      default: return kJsonInteger;
    }
  }

  static JsonTypes declared_type(const Json& schema) {
    JsonTypes types = kJsonAny;
    if (const Json* type = member(schema, "type")) {
      if (type->is_array() && !type->empty()) {
        types = 0;
        for (const Json& item : *type) types |= named_type(item);
      } else {
        types = named_type(*type);
      }
    } else if (schema.contains("properties")) {
      types = kJsonObject;
    } else if (schema.contains("items")) {
      types = kJsonArray;
    }
    if (const Json* nullable = member(schema, "nullable")) {
      if (*nullable == true) types |= kJsonNull;
    }
    return types;
  }

  JsonTypes types_of(const Json& schema, int depth) {
    if (!may_visit(schema, depth)) return kJsonAny;
    JsonTypes types = declared_type(schema);
    const auto restrict_to = [&](JsonTypes further) { types &= further; };
    if (const Json* value = member(schema, "const")) restrict_to(type_of_value(*value));
    if (const Json* values = member(schema, "enum"); values != nullptr && values->is_array()) {
      JsonTypes listed = 0;
      for (const Json& value : *values) listed |= type_of_value(value);
      restrict_to(listed);
    }
    if (const Json* target = referred(schema)) restrict_to(types_of(*target, depth + 1));
    if (const Json* all = member(schema, "allOf"); all != nullptr && all->is_array()) {
      for (const Json& part : *all) restrict_to(types_of(part, depth + 1));
    }
    for (const char* keyword : {"anyOf", "oneOf"}) {
      const Json* choices = member(schema, keyword);
      if (choices == nullptr || !choices->is_array() || choices->empty()) continue;
      JsonTypes any = 0;
      for (const Json& choice : *choices) any |= types_of(choice, depth + 1);
      restrict_to(any);
    }
    return types != 0 ? types : kJsonAny;  // a schema that contradicts itself says nothing
  }

  // The parameters of `schema` and of the parts that it is put together from.
  void collect(const Json& schema, ToolSchema& out, int depth) {
    if (!may_visit(schema, depth)) return;
    if (const Json* properties = member(schema, "properties");
        properties != nullptr && properties->is_object()) {
      for (const auto& [name, property] : properties->items()) {
        const JsonTypes types = types_of(property, depth + 1);
        const auto [it, is_new] = out.parameters_.try_emplace(name, types);
        if (!is_new) it->second |= types;  // from two branches: either may hold
      }
    }
    if (const Json* others = member(schema, "additionalProperties");
        others != nullptr && others->is_object()) {
      out.others_ = types_of(*others, depth + 1);
    }
    if (const Json* target = referred(schema)) collect(*target, out, depth + 1);
    for (const char* keyword : {"allOf", "anyOf", "oneOf"}) {
      const Json* parts = member(schema, keyword);
      if (parts == nullptr || !parts->is_array()) continue;
      for (const Json& part : *parts) collect(part, out, depth + 1);
    }
  }

  const Json& root_;
  int& steps_left_;
};

namespace {

Json parse_tools(std::string_view text) {
  try {
    return parse_json(text, "tools");
  } catch (const Error& error) {
    throw Error(ErrorCode::kInvalidArgument, error.what());
  }
}

}  // namespace

ToolSchemas::ToolSchemas(std::string_view tools_json) {
  if (tools_json.empty()) return;
  const Json tools = parse_tools(tools_json);
  if (tools.is_null()) return;
  if (!tools.is_array()) fail_argument("tools: a JSON array was wanted");
  int steps_left = 100'000;  // schemas of all tools: far beyond real ones, milliseconds of work
  for (size_t i = 0; i < tools.size(); ++i) {
    const Json* tool = &tools[i];
    if (!tool->is_object()) fail_argument("tools[{}]: an object was wanted", i);
    if (const auto it = tool->find("function"); it != tool->end() && it->is_object()) tool = &*it;
    const auto name = tool->find("name");
    if (name == tool->end() || !name->is_string()) continue;  // not a function
    auto parameters = tool->find("parameters");
    if (parameters == tool->end()) parameters = tool->find("input_schema");
    ToolSchema schema;
    if (parameters != tool->end()) schema = SchemaReader(*parameters, steps_left).read();
    tools_.try_emplace(name->get<std::string>(), std::move(schema));
  }
}

}  // namespace glmoe
