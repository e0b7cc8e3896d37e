#include "serve/openai/messages.h"

#include <string_view>
#include <utility>

#include "base/error.h"

namespace glmoe::serve::openai {
namespace {

struct Reader {
  const ServeLimits& limits;
  std::vector<std::string>& warnings;

  // One part of a content in list form.
  std::string part_text(const OrderedJson& part, const std::string& path) const {
    Fields fields(part, path);
    const std::string type = fields.require_string("type");
    if (type == "refusal") return fields.require_string("refusal");
    if (type != "text") {
      fail_field(fields.path("type"), "unsupported_value",
                 "\"text\" was wanted, found \"{}\": this model reads text only", shortened(type));
    }
    fields.ignore({"cache_control", "annotations"});
    std::string text = fields.require_string("text");
    fields.warn_of_unknown(warnings);
    return text;
  }

  // A string, or the texts of its parts one after the other; "" where absent.
  std::string content(Fields& message, bool required) const {
    const OrderedJson* value = message.find("content");
    const std::string path = message.path("content");
    if (value == nullptr) {
      if (required) {
        fail_field(path, "missing_required_parameter",
                   "a string or an array of text parts was wanted");
      }
      return {};
    }
    if (value->is_string()) return value->get<std::string>();
    if (!value->is_array()) {
      fail_field(path, "invalid_type", "a string or an array of text parts was wanted, found {}",
                 describe(*value));
    }
    std::string text;
    for (size_t i = 0; i < value->size(); ++i) text += part_text((*value)[i], item_path(path, i));
    return text;
  }

  // JSON text of an object, or the object itself.
  OrderedJson arguments(Fields& function) const {
    const OrderedJson* value = function.find("arguments");
    const std::string path = function.path("arguments");
    if (value == nullptr) return OrderedJson::object();
    if (value->is_object()) return *value;
    const std::string& text = string_value(*value, path);
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) return OrderedJson::object();
    OrderedJson parsed;
    try {
      parsed = parse_ordered_json(text, "its text",
                                  {.max_depth = limits.max_json_depth,
                                   .max_values = limits.max_json_values,
                                   .max_key_bytes = limits.max_json_key_bytes});
    } catch (const Error& error) {
      fail_field(path, "invalid_value", "JSON text of an object was wanted: {}",
                 shortened(error.what(), 200));
    }
    if (!parsed.is_object()) {
      fail_field(path, "invalid_value", "JSON text of an object was wanted, found {}",
                 describe(parsed));
    }
    return parsed;
  }

  OrderedJson tool_call(const OrderedJson& value, const std::string& path) const {
    Fields call(value, path);
    OrderedJson result;
    result["id"] = call.string("id", limits.max_name_bytes).value_or("");
    const std::string type = call.string("type").value_or("function");
    if (type != "function") {
      fail_field(call.path("type"), "unsupported_value", "\"function\" was wanted, found \"{}\"",
                 shortened(type));
    }
    result["type"] = "function";
    Fields function(call.require("function"), call.path("function"));
    const std::string name = function.require_string("name");
    check_function_name(name, function.path("name"), limits);
    result["function"]["name"] = name;
    result["function"]["arguments"] = arguments(function);
    call.ignore({"index"});
    call.warn_of_unknown(warnings);
    function.warn_of_unknown(warnings);
    return result;
  }

  void assistant(Fields& fields, OrderedJson& message) const {
    message["content"] = content(fields, false);
    std::optional<std::string> reasoning = fields.string("reasoning_content");
    if (!reasoning) reasoning = fields.string("reasoning");
    fields.ignore({"reasoning"});
    if (reasoning && !reasoning->empty()) message["reasoning_content"] = std::move(*reasoning);
    const OrderedJson* calls = fields.array("tool_calls", limits.max_tools);
    for (size_t i = 0; calls != nullptr && i < calls->size(); ++i) {
      message["tool_calls"].push_back(
          tool_call((*calls)[i], item_path(fields.path("tool_calls"), i)));
    }
    if (fields.find("function_call") != nullptr) {
      fail_field(fields.path("function_call"), "unsupported_parameter", "replaced by tool_calls");
    }
    fields.ignore({"refusal", "annotations", "audio"});
  }

  OrderedJson message(const OrderedJson& value, const std::string& path) const {
    Fields fields(value, path);
    std::string role = fields.require_string("role");
    OrderedJson result;
    result["role"] = role == "developer" ? "system" : role;
    if (role == "assistant") {
      assistant(fields, result);
    } else if (role == "system" || role == "developer" || role == "user") {
      result["content"] = content(fields, true);
    } else if (role == "tool") {
      result["content"] = content(fields, true);
      result["tool_call_id"] = fields.string("tool_call_id", limits.max_name_bytes).value_or("");
    } else {
      fail_field(fields.path("role"), "invalid_value",
                 "system, developer, user, assistant or tool was wanted, found \"{}\"",
                 shortened(role));
    }
    if (std::optional<std::string> name = fields.string("name", limits.max_name_bytes)) {
      result["name"] = std::move(*name);
    }
    fields.warn_of_unknown(warnings);
    return result;
  }

  // A tool as it stands in the prompt: only what describes it, in the client's order of keys.
  OrderedJson tool(const OrderedJson& value, const std::string& path) const {
    Fields fields(value, path);
    const std::string type = fields.require_string("type");
    if (type != "function") {
      fail_field(fields.path("type"), "unsupported_value", "\"function\" was wanted, found \"{}\"",
                 shortened(type));
    }
    const OrderedJson& function = fields.require("function");
    Fields reader(function, fields.path("function"));
    check_function_name(reader.require_string("name"), reader.path("name"), limits);
    (void)reader.string("description");
    (void)reader.object("parameters");
    if (reader.boolean_or("strict", false)) {
      add_warning(warnings, reader.path("strict"), "arguments are not constrained to the schema");
    }
    OrderedJson kept;
    for (const auto& [key, member] : function.items()) {
      if (member.is_null() || (key != "name" && key != "description" && key != "parameters")) {
        continue;
      }
      kept[key] = member;
    }
    reader.warn_of_unknown(warnings);
    fields.ignore({"cache_control"});
    fields.warn_of_unknown(warnings);
    OrderedJson result;
    result["type"] = "function";
    result["function"] = std::move(kept);
    return result;
  }
};

void read_tool_choice(Fields& fields, ChatPrompt& prompt) {
  const OrderedJson* choice = fields.find("tool_choice");
  if (choice == nullptr) return;
  const std::string path = fields.path("tool_choice");
  if (choice->is_string()) {
    const auto& word = choice->get_ref<const std::string&>();
    if (word == "none") {
      prompt.tool_choice = ToolChoice::kNone;
    } else if (word == "required") {
      prompt.tool_choice = ToolChoice::kRequired;
    } else if (word != "auto") {
      fail_field(path, "invalid_value",
                 "auto, none, required or a function was wanted, found \"{}\"", shortened(word));
    }
  } else {
    Fields named(*choice, path);
    const std::string type = named.require_string("type");
    if (type != "function") {
      fail_field(named.path("type"), "unsupported_value", "\"function\" was wanted, found \"{}\"",
                 shortened(type));
    }
    Fields function(named.require("function"), named.path("function"));
    choose_named_tool(function, prompt);
  }
  check_required_call(prompt, path);
}

}  // namespace

void read_messages(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt,
                   std::vector<std::string>& warnings) {
  const Reader reader{limits, warnings};
  const OrderedJson& messages = fields.require("messages");
  const std::string path = fields.path("messages");
  check_items(messages, path, limits.max_messages);
  if (messages.empty()) fail_field(path, "invalid_value", "at least one message was wanted");
  for (size_t i = 0; i < messages.size(); ++i) {
    prompt.messages.push_back(reader.message(messages[i], item_path(path, i)));
  }
}

void read_tools(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt,
                std::vector<std::string>& warnings) {
  const Reader reader{limits, warnings};
  read_tool_list(
      fields, limits, ".function.name",
      [&](const OrderedJson& json, const std::string& path) { return reader.tool(json, path); },
      prompt);
  read_tool_choice(fields, prompt);
  prompt.parallel_tool_calls = fields.boolean_or("parallel_tool_calls", true);
}

}  // namespace glmoe::serve::openai
