#include "text/chat_template.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/jinja/json_value.h"

namespace glmoe {
namespace {

using jinja::Dict;
using jinja::None;
using jinja::Value;

constexpr size_t kMaxConfigBytes = size_t{64} << 20;

// Names that a request may not set through template_kwargs: what the engine passes itself, the
// template's functions, and parameters of apply_chat_template that other servers would act on.
constexpr std::string_view kReserved[] = {"messages",
                                          "tools",
                                          "documents",
                                          "add_generation_prompt",
                                          "conversation",
                                          "chat_template",
                                          "tokenize",
                                          "tokenizer",
                                          "padding",
                                          "truncation",
                                          "max_length",
                                          "return_tensors",
                                          "return_dict",
                                          "tokenizer_kwargs",
                                          "return_assistant_tokens_mask",
                                          "continue_final_message",
                                          "add_special_tokens",
                                          "bos_token",
                                          "eos_token",
                                          "unk_token",
                                          "sep_token",
                                          "pad_token",
                                          "cls_token",
                                          "mask_token",
                                          "additional_special_tokens",
                                          "range",
                                          "dict",
                                          "namespace",
                                          "joiner",
                                          "raise_exception",
                                          "strftime_now",
                                          "loop",
                                          "caller",
                                          "self",
                                          "varargs",
                                          "kwargs"};

constexpr std::string_view kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                               "pad_token", "cls_token", "mask_token"};

// A token in tokenizer_config.json: its text, or an object with the text as "content".
std::string token_text(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  if (json.is_object() && json.contains("content") && json["content"].is_string()) {
    return json["content"].get<std::string>();
  }
  return {};
}

Dict with(const Dict& dict, std::string_view key, Value value) {
  Dict out = dict;
  out.set(Value(std::string(key)), std::move(value));
  return out;
}

// One tool call with its arguments as an object.
Value parsed_call(const Value& call, const std::string& where) {
  if (!call.is_dict()) fail_argument("{}: an object was wanted", where);
  const Value* function = call.as_dict().find(std::string_view("function"));
  if (function != nullptr && function->is_dict()) {
    return Value::dict(
        with(call.as_dict(), "function", parsed_call(*function, where + ".function")));
  }
  const Value* arguments = call.as_dict().find(std::string_view("arguments"));
  if (arguments == nullptr || !arguments->is_string()) return call;
  const std::string& text = arguments->as_string();
  const bool empty = text.find_first_not_of(" \t\r\n") == std::string::npos;
  Value parsed = empty ? Value::dict({}) : jinja::value_from_json(text, where + ".arguments");
  if (!parsed.is_dict()) {
    fail_argument("{}.arguments: JSON text of an object was wanted, found {}", where,
                  jinja::type_name(parsed));
  }
  return Value::dict(with(call.as_dict(), "arguments", std::move(parsed)));
}

Value parsed_message(const Value& message, const std::string& where) {
  if (!message.is_dict()) fail_argument("{}: an object was wanted", where);
  const Value* role = message.as_dict().find(std::string_view("role"));
  if (role == nullptr || !role->is_string()) fail_argument("{}: 'role' must be a string", where);
  const Value* calls = message.as_dict().find(std::string_view("tool_calls"));
  if (calls == nullptr || calls->is_none()) return message;
  if (!calls->is_list()) fail_argument("{}.tool_calls: a list was wanted", where);
  std::vector<Value> parsed;
  for (size_t i = 0; i < calls->as_list().items.size(); ++i) {
    parsed.push_back(
        parsed_call(calls->as_list().items[i], fmt::format("{}.tool_calls[{}]", where, i)));
  }
  return Value::dict(with(message.as_dict(), "tool_calls", Value::list(std::move(parsed))));
}

// What the assistant wrote itself has markup of its own (templates split it at </think>), but not
// the arguments of its calls.
Value guarded_message(const Value& message, MarkupGuard& guard) {
  if (message.as_dict().find(std::string_view("role"))->as_string() != "assistant") {
    return guard.guard_all(message);
  }
  Dict out;
  for (const Dict::Entry& entry : message.as_dict().entries()) {
    const bool calls = entry.key.as_string() == "tool_calls";
    out.set(entry.key, calls ? guard.guard_all(entry.value) : guard.guard_turns(entry.value));
  }
  return Value::dict(std::move(out));
}

Value parsed_messages(std::string_view json, MarkupGuard* guard) {
  const Value messages = jinja::value_from_json(json, "messages");
  if (!messages.is_list() || messages.as_list().items.empty()) {
    fail_argument("messages: a JSON array of at least one message was wanted");
  }
  std::vector<Value> out;
  for (size_t i = 0; i < messages.as_list().items.size(); ++i) {
    Value message = parsed_message(messages.as_list().items[i], fmt::format("messages[{}]", i));
    out.push_back(guard != nullptr ? guarded_message(message, *guard) : std::move(message));
  }
  return Value::list(std::move(out));
}

Value parsed_tools(const std::string& json) {
  if (json.empty()) return None{};
  Value tools = jinja::value_from_json(json, "tools");
  if (tools.is_none()) return tools;
  if (!tools.is_list()) fail_argument("tools: a JSON array was wanted");
  return tools;
}

using Variables = std::vector<std::pair<std::string, Value>>;

void add_kwargs(const ChatOptions& options, Variables& variables) {
  if (options.enable_thinking) variables.emplace_back("enable_thinking", *options.enable_thinking);
  if (options.template_kwargs_json.empty()) return;
  const Value kwargs = jinja::value_from_json(options.template_kwargs_json, "template_kwargs");
  if (kwargs.is_none()) return;
  if (!kwargs.is_dict()) fail_argument("template_kwargs: a JSON object was wanted");
  for (const auto& entry : kwargs.as_dict().entries()) {
    const std::string& name = entry.key.as_string();
    if (std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved) ||
        name.substr(0, 1) == "_") {
      fail_argument("template_kwargs: the variable '{}' may not be set", name);
    }
    if (name == "enable_thinking" && options.enable_thinking) {
      fail_argument("enable_thinking is given both as an option and in template_kwargs");
    }
    variables.emplace_back(name, entry.value);
  }
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, std::string_view config_json,
                           const std::string& what) {
  add_named("default", source, what);
  if (!config_json.empty()) read_config(config_json, "tokenizer_config.json beside " + what);
}

std::unique_ptr<ChatTemplate> ChatTemplate::from_folder(const std::string& folder) {
  const std::string template_path = folder + "/chat_template.jinja";
  const std::string config_path = folder + "/tokenizer_config.json";
  std::unique_ptr<ChatTemplate> chat(new ChatTemplate());
  if (std::filesystem::exists(template_path)) {
    chat->add_named("default", read_text_file(template_path, size_t{16} << 20), template_path);
  }
  if (std::filesystem::exists(config_path)) {
    chat->read_config(read_text_file(config_path, kMaxConfigBytes), config_path);
  }
  return chat->templates_.empty() ? nullptr : std::move(chat);
}

void ChatTemplate::add_named(std::string name, std::string_view source, const std::string& what) {
  templates_.emplace_back(std::move(name), jinja::Template(source, what));
}

void ChatTemplate::read_config(std::string_view config_json, const std::string& what) {
  const Json config = parse_json(config_json, what);
  if (!config.is_object()) fail(ErrorCode::kCorrupt, "{}: a JSON object was wanted", what);
  for (const auto name : kSpecialTokens) {
    const auto it = config.find(name);
    if (it == config.end()) continue;
    if (std::string text = token_text(*it); !text.empty()) {
      special_tokens_.emplace_back(std::string(name), Value(std::move(text)));
    }
  }
  if (const auto it = config.find("additional_special_tokens");
      it != config.end() && it->is_array()) {
    std::vector<Value> tokens;
    for (const Json& token : *it) tokens.emplace_back(token_text(token));
    special_tokens_.emplace_back("additional_special_tokens", Value::list(std::move(tokens)));
  }
  const auto it = config.find("chat_template");
  if (!templates_.empty() || it == config.end() || it->is_null()) return;
  const std::string field = what + ": field 'chat_template'";
  if (it->is_string()) {
    add_named("default", it->get_ref<const std::string&>(), field);
    return;
  }
  if (!it->is_array()) fail(ErrorCode::kCorrupt, "{}: text or a list was wanted", field);
  for (const Json& item : *it) {
    const JsonReader reader(item, field);
    const std::string name = reader.string("name");
    add_named(name, reader.string("template"), fmt::format("{}, template '{}'", field, name));
  }
}

const jinja::Template& ChatTemplate::choose(bool with_tools) const {
  const jinja::Template* found = nullptr;
  for (const auto& [name, item] : templates_) {
    if (with_tools && name == "tool_use") return item;
    if (name == "default") found = &item;
  }
  if (found == nullptr) {
    fail(ErrorCode::kUnsupported,
         "tokenizer_config.json: field 'chat_template': none of the templates is named 'default'");
  }
  return *found;
}

std::string ChatTemplate::render(std::string_view messages_json, const ChatOptions& options,
                                 const jinja::Limits& limits, MarkupGuard* guard) const {
  Variables variables = special_tokens_;
  Value tools = parsed_tools(options.tools_json);
  if (guard != nullptr) tools = guard->guard_all(tools);
  const jinja::Template& chosen = choose(jinja::truthy(tools));
  variables.emplace_back("messages", parsed_messages(messages_json, guard));
  variables.emplace_back("tools", std::move(tools));
  variables.emplace_back("documents", None{});
  variables.emplace_back("add_generation_prompt", options.add_generation_prompt);
  add_kwargs(options, variables);
  return chosen.render(variables, limits);
}

}  // namespace glmoe
