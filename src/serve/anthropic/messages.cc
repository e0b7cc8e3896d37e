// Anthropic's messages and tools, brought to OpenAI's form.
#include <string_view>
#include <utility>

#include "serve/anthropic/message_request.h"

namespace glmoe::serve::anthropic {
namespace {

// Blocks of text stand on lines of their own.
void append_block(std::string& text, const std::string& block, bool& first) {
  if (!first) text += '\n';
  first = false;
  text += block;
}

struct Reader {
  const ServeLimits& limits;
  ChatPrompt& prompt;
  std::vector<std::string>& warnings;

  std::string text_block(Fields& block) const {
    block.ignore({"cache_control", "citations"});
    return block.require_string("text");
  }

  [[noreturn]] void refuse_block(Fields& block, std::string_view type,
                                 std::string_view wanted) const {
    fail_field(block.path("type"), "unsupported_value",
               "{} was wanted, found \"{}\": this model reads text only", wanted, shortened(type));
  }

  // A string, or an array of text blocks.
  std::string text_content(const OrderedJson& value, const std::string& path) const {
    if (value.is_string()) return value.get<std::string>();
    if (!value.is_array()) {
      fail_field(path, "invalid_type", "a string or an array of blocks was wanted, found {}",
                 describe(value));
    }
    std::string text;
    bool first = true;
    for (size_t i = 0; i < value.size(); ++i) {
      Fields block(value[i], item_path(path, i));
      const std::string type = block.require_string("type");
      if (type != "text") refuse_block(block, type, "text");
      append_block(text, text_block(block), first);
      block.warn_of_unknown(warnings);
    }
    return text;
  }

  void tool_result(Fields& block) const {
    OrderedJson message;
    message["role"] = "tool";
    const OrderedJson* content = block.find("content");
    message["content"] = content == nullptr ? "" : text_content(*content, block.path("content"));
    message["tool_call_id"] = block.require_string("tool_use_id", limits.max_name_bytes);
    (void)block.boolean("is_error");
    block.ignore({"cache_control"});
    prompt.messages.push_back(std::move(message));
  }

  void user(const OrderedJson& content, const std::string& path) const {
    OrderedJson message;
    message["role"] = "user";
    if (!content.is_array()) {
      message["content"] = text_content(content, path);
      prompt.messages.push_back(std::move(message));
      return;
    }
    std::string text;
    bool first = true;
    for (size_t i = 0; i < content.size(); ++i) {
      Fields block(content[i], item_path(path, i));
      const std::string type = block.require_string("type");
      if (type == "tool_result") {
        tool_result(block);
      } else if (type == "text") {
        append_block(text, text_block(block), first);
      } else {
        refuse_block(block, type, "text or tool_result");
      }
      block.warn_of_unknown(warnings);
    }
    if (first) return;  // results alone
    message["content"] = std::move(text);
    prompt.messages.push_back(std::move(message));
  }

  OrderedJson tool_use(Fields& block) const {
    OrderedJson call;
    call["id"] = block.require_string("id", limits.max_name_bytes);
    call["type"] = "function";
    const std::string name = block.require_string("name");
    check_function_name(name, block.path("name"), limits);
    call["function"]["name"] = name;
    const OrderedJson& input = block.require("input");
    (void)Fields(input, block.path("input"));  // an object
    call["function"]["arguments"] = input;
    block.ignore({"cache_control", "caller"});
    return call;
  }

  void assistant(const OrderedJson& content, const std::string& path) const {
    OrderedJson message;
    message["role"] = "assistant";
    std::string text, reasoning;
    bool first = true, first_reasoning = true;
    OrderedJson calls = OrderedJson::array();
    if (!content.is_array()) {
      text = text_content(content, path);
    } else {
      for (size_t i = 0; i < content.size(); ++i) {
        Fields block(content[i], item_path(path, i));
        const std::string type = block.require_string("type");
        if (type == "text") {
          append_block(text, text_block(block), first);
        } else if (type == "thinking") {
          append_block(reasoning, block.require_string("thinking"), first_reasoning);
          (void)block.string("signature");
        } else if (type == "redacted_thinking") {
          block.ignore({"data"});
        } else if (type == "tool_use") {
          calls.push_back(tool_use(block));
        } else {
          refuse_block(block, type, "text, thinking or tool_use");
        }
        block.warn_of_unknown(warnings);
      }
    }
    message["content"] = std::move(text);
    if (!reasoning.empty()) message["reasoning_content"] = std::move(reasoning);
    if (!calls.empty()) message["tool_calls"] = std::move(calls);
    prompt.messages.push_back(std::move(message));
  }

  OrderedJson tool(const OrderedJson& value, const std::string& path) const {
    Fields fields(value, path);
    const std::string type = fields.string("type").value_or("custom");
    if (type != "custom") {
      fail_field(fields.path("type"), "unsupported_value",
                 "\"custom\" was wanted, found \"{}\": the server runs no tools of its own",
                 shortened(type));
    }
    const std::string name = fields.require_string("name");
    check_function_name(name, fields.path("name"), limits);
    OrderedJson function;
    function["name"] = name;
    if (std::optional<std::string> text = fields.string("description")) {
      function["description"] = std::move(*text);
    }
    const OrderedJson& schema = fields.require("input_schema");
    (void)Fields(schema, fields.path("input_schema"));  // an object
    function["parameters"] = schema;
    if (fields.boolean_or("strict", false)) {
      add_warning(warnings, fields.path("strict"), "inputs are not constrained to the schema");
    }
    fields.ignore({"cache_control", "defer_loading", "allowed_callers", "input_examples",
                   "eager_input_streaming"});
    fields.warn_of_unknown(warnings);
    OrderedJson result;
    result["type"] = "function";
    result["function"] = std::move(function);
    return result;
  }
};

void read_tool_choice(Fields& fields, ChatPrompt& prompt) {
  std::optional<Fields> choice = fields.object("tool_choice");
  if (!choice) return;
  const std::string type = choice->require_string("type");
  if (type == "any") {
    prompt.tool_choice = ToolChoice::kRequired;
  } else if (type == "none") {
    prompt.tool_choice = ToolChoice::kNone;
  } else if (type == "tool") {
    choose_named_tool(*choice, prompt);
  } else if (type != "auto") {
    fail_field(choice->path("type"), "invalid_value",
               "auto, any, tool or none was wanted, found \"{}\"", shortened(type));
  }
  check_required_call(prompt, choice->path());
  prompt.parallel_tool_calls = !choice->boolean_or("disable_parallel_tool_use", false);
}

}  // namespace

void read_messages(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt,
                   std::vector<std::string>& warnings) {
  const Reader reader{limits, prompt, warnings};
  if (const OrderedJson* system = fields.find("system")) {
    OrderedJson message;
    message["role"] = "system";
    message["content"] = reader.text_content(*system, fields.path("system"));
    if (message["content"] != "") prompt.messages.push_back(std::move(message));
  }
  const OrderedJson& messages = fields.require("messages");
  const std::string path = fields.path("messages");
  check_items(messages, path, limits.max_messages);
  if (messages.empty()) fail_field(path, "invalid_value", "at least one message was wanted");
  std::string role;
  for (size_t i = 0; i < messages.size(); ++i) {
    Fields message(messages[i], item_path(path, i));
    role = message.require_string("role");
    const OrderedJson& content = message.require("content");
    if (role == "user") {
      reader.user(content, message.path("content"));
    } else if (role == "assistant") {
      reader.assistant(content, message.path("content"));
    } else {
      fail_field(message.path("role"), "invalid_value",
                 "user or assistant was wanted, found \"{}\"", shortened(role));
    }
    message.warn_of_unknown(warnings);
  }
  if (prompt.messages.empty()) {
    fail_field(path, "invalid_value", "a message with content was wanted");
  }
  if (role != "assistant") return;
  const OrderedJson& last = prompt.messages.back();
  if (last.contains("tool_calls") || last.at("content") == "") {
    fail_field(item_path(path, messages.size() - 1), "invalid_value",
               "a last message of the assistant is continued: it needs text and no tool_use");
  }
  prompt.continue_final_message = true;
}

void read_tools(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt,
                std::vector<std::string>& warnings) {
  const Reader reader{limits, prompt, warnings};
  read_tool_list(
      fields, limits, ".name",
      [&](const OrderedJson& json, const std::string& path) { return reader.tool(json, path); },
      prompt);
  read_tool_choice(fields, prompt);
}

}  // namespace glmoe::serve::anthropic
