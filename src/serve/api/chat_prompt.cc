#include "serve/api/chat_prompt.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "base/error.h"
#include "serve/api/generation_fields.h"

namespace glmoe::serve {
namespace {

constexpr std::string_view kCallToken = "<tool_call>";
constexpr std::string_view kCallEndToken = "</tool_call>";

// Bytes of all strings, keys left out.
size_t text_bytes(const OrderedJson& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().size();
  size_t bytes = 0;
  if (value.is_structured()) {
    for (const OrderedJson& item : value) bytes += text_bytes(item);
  }
  return bytes;
}

int depth_of(const OrderedJson& value) {
  int depth = 0;
  if (value.is_structured()) {
    for (const OrderedJson& item : value) depth = std::max(depth, depth_of(item));
  }
  return depth + 1;
}

ChatOptions chat_options(const ChatPrompt& prompt) {
  const bool forced =
      prompt.tool_choice == ToolChoice::kRequired || prompt.tool_choice == ToolChoice::kNamed;
  ChatOptions options;
  if (prompt.offers_tools()) options.tools_json = dump(prompt.tools);
  options.add_generation_prompt =
      prompt.add_generation_prompt && !prompt.continue_final_message && !forced;
  options.enable_thinking = prompt.enable_thinking;
  options.template_kwargs_json = prompt.template_kwargs_json;
  return options;
}

// What the template refuses is the client's mistake, and in which field.
template <class F>
auto blaming_the_body(F&& call) {
  try {
    return call();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    const std::string message = shortened(error.what(), 1000);
    const bool kwargs = message.find("template_kwargs") != std::string::npos;
    throw ApiError(HttpError{.status = 400,
                             .message = message,
                             .code = "invalid_value",
                             .param = kwargs ? "chat_template_kwargs" : "messages"});
  }
}

// How the template writes an assistant's turn that begins with a call of `name`, read off a small
// conversation: an answer that begins so stands in later prompts exactly as it was generated.
std::string forced_beginning(const ChatPrompt& prompt, const ApiContext& context) {
  constexpr std::string_view kProbe = "glmoe_probe";
  const ChatOptions plain{.add_generation_prompt = false};
  OrderedJson messages = OrderedJson::array({{{"role", "user"}, {"content", "x"}}});
  const std::string before = context.text->render_chat(dump(messages), plain);
  OrderedJson call = {{"id", "call_0"}, {"type", "function"}};
  call["function"] = {{"name", kProbe}, {"arguments", OrderedJson::object()}};
  messages.push_back({{"role", "assistant"}, {"content", ""}});
  messages.back()["tool_calls"] = OrderedJson::array({call});
  const std::string with_call = context.text->render_chat(dump(messages), plain);

  const size_t name = with_call.rfind(kProbe);
  const bool continues = with_call.compare(0, before.size(), before) == 0;
  if (!continues || name == std::string::npos || name < before.size() + kCallToken.size() ||
      with_call.compare(name - kCallToken.size(), kCallToken.size(), kCallToken) != 0) {
    fail(ErrorCode::kUnsupported,
         "tool_choice: the model's chat template does not write tool calls as {}NAME, so a call "
         "cannot be forced; use \"auto\"",
         kCallToken);
  }
  const std::string beginning = with_call.substr(before.size(), name - before.size());
  if (prompt.tool_choice == ToolChoice::kRequired) return beginning;
  const size_t end = name + kProbe.size();
  const size_t markup = std::min(with_call.find('<', end), with_call.size());
  return beginning + prompt.tool_name + with_call.substr(end, markup - end);
}

// The rendering has to end with the last message's text, or the answer would go on elsewhere.
void check_continues(const ChatPrompt& prompt, const ApiContext& context) {
  const auto trimmed = [](std::string_view text) {
    const size_t end = text.find_last_not_of(" \t\r\n");
    return end == std::string_view::npos ? std::string_view() : text.substr(0, end + 1);
  };
  const std::string text = context.text->render_chat(dump(prompt.messages), chat_options(prompt));
  const std::string content = prompt.messages.back().at("content").get<std::string>();
  const std::string_view wanted = trimmed(content), found = trimmed(text);
  if (wanted.empty() || found.size() < wanted.size() ||
      found.substr(found.size() - wanted.size()) != wanted) {
    fail(ErrorCode::kUnsupported,
         "the model's chat template does not end with the last message's content, so the answer "
         "cannot continue it");
  }
}

bool is_forced(const ChatPrompt& prompt) {
  return prompt.tool_choice == ToolChoice::kRequired || prompt.tool_choice == ToolChoice::kNamed;
}

bool has_tool(const OrderedJson& tools, std::string_view name) {
  for (const OrderedJson& tool : tools) {
    if (tool.at("function").at("name") == name) return true;
  }
  return false;
}

}  // namespace

std::string render_prompt(const ChatPrompt& prompt, const ApiContext& context) {
  check_prompt_bytes(text_bytes(prompt.messages), "messages", context);
  return blaming_the_body([&] {
    std::string text = context.text->render_chat(dump(prompt.messages), chat_options(prompt));
    if (is_forced(prompt)) text += forced_beginning(prompt, context);
    return text;
  });
}

std::vector<int32_t> encode_prompt(const ChatPrompt& prompt, const ApiContext& context) {
  check_prompt_bytes(text_bytes(prompt.messages), "messages", context);
  std::vector<int32_t> ids = blaming_the_body([&] {
    if (prompt.continue_final_message) check_continues(prompt, context);
    return context.text->encode_chat(dump(prompt.messages), chat_options(prompt));
  });
  if (is_forced(prompt)) {
    const std::vector<int32_t> more = context.text->tokenize(forced_beginning(prompt, context));
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

ChatParserOptions parser_options(const ChatPrompt& prompt, const ApiContext& context) {
  ChatParserOptions options;
  options.parse_tools = context.parse_tools && prompt.offers_tools();
  if (options.parse_tools) options.tools_json = dump(prompt.tools);
  options.parse_reasoning = context.parse_reasoning;
  return options;
}

void stop_after_one_call(const ChatPrompt& prompt, const ApiContext& context,
                         SamplingParams& sampling) {
  if (prompt.parallel_tool_calls || !prompt.offers_tools() || !context.parse_tools) return;
  const std::vector<int32_t> ids = context.text->tokenize(std::string(kCallEndToken));
  if (ids.size() == 1) sampling.stop_token_ids.push_back(ids.front());
}

void read_template_kwargs(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt) {
  const OrderedJson* kwargs = fields.find("chat_template_kwargs");
  if (kwargs == nullptr) return;
  const std::string path = fields.path("chat_template_kwargs");
  Fields reader(*kwargs, path);
  if (kwargs->size() > limits.max_template_kwargs) {
    fail_field(path, "limit_exceeded", "at most {} variables are accepted, found {}",
               limits.max_template_kwargs, kwargs->size());
  }
  OrderedJson rest = OrderedJson::object();
  for (const auto& [name, value] : kwargs->items()) {
    const auto is_letter = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
    if (name.empty() || name.size() > 64 || std::isdigit(static_cast<unsigned char>(name[0])) ||
        !std::all_of(name.begin(), name.end(), is_letter)) {
      fail_field(path, "invalid_value", "names of letters, digits and _ were wanted, found \"{}\"",
                 shortened(name));
    }
    if (depth_of(value) > limits.max_template_kwargs_depth) {
      fail_field(reader.path(name), "limit_exceeded", "nested deeper than {} levels",
                 limits.max_template_kwargs_depth);
    }
    if (name == "enable_thinking") {
      prompt.enable_thinking = reader.boolean(name);
    } else {
      rest[name] = value;
    }
  }
  std::string json = dump(rest);
  if (json.size() > limits.max_template_kwargs_bytes) {
    fail_field(path, "limit_exceeded", "at most {} bytes of JSON are accepted, found {}",
               limits.max_template_kwargs_bytes, json.size());
  }
  if (!rest.empty()) prompt.template_kwargs_json = std::move(json);
}

void read_tool_list(
    Fields& fields, const ServeLimits& limits, std::string_view name_path,
    const std::function<OrderedJson(const OrderedJson&, const std::string&)>& read_tool,
    ChatPrompt& prompt) {
  const OrderedJson* tools = fields.array("tools", limits.max_tools);
  const std::string path = fields.path("tools");
  for (size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    OrderedJson tool = read_tool((*tools)[i], item_path(path, i));
    const auto& name = tool["function"]["name"].get_ref<const std::string&>();
    if (has_tool(prompt.tools, name)) {
      fail_field(fmt::format("{}{}", item_path(path, i), name_path), "invalid_value",
                 "a tool named \"{}\" stands before it", shortened(name));
    }
    prompt.tools.push_back(std::move(tool));
  }
  if (const size_t bytes = dump(prompt.tools).size(); bytes > limits.max_tool_bytes) {
    fail_field(path, "limit_exceeded", "at most {} bytes of JSON are accepted, found {}",
               limits.max_tool_bytes, bytes);
  }
}

void choose_named_tool(Fields& choice, ChatPrompt& prompt) {
  prompt.tool_choice = ToolChoice::kNamed;
  prompt.tool_name = choice.require_string("name");
  if (!has_tool(prompt.tools, prompt.tool_name)) {
    fail_field(choice.path("name"), "invalid_value", "no tool of this request is named \"{}\"",
               shortened(prompt.tool_name));
  }
}

void check_required_call(const ChatPrompt& prompt, const std::string& path) {
  if (prompt.tool_choice == ToolChoice::kRequired && prompt.tools.empty()) {
    fail_field(path, "invalid_value", "a call is required, but the request brings no tools");
  }
}

void check_function_name(const std::string& name, const std::string& path,
                         const ServeLimits& limits) {
  if (name.empty()) fail_field(path, "invalid_value", "the function's name is empty");
  if (name.size() > limits.max_name_bytes) {
    fail_field(path, "limit_exceeded", "a name of at most {} bytes is accepted, found {}",
               limits.max_name_bytes, name.size());
  }
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 0x7F || c == '<' || c == '>') {
      fail_field(path, "invalid_value",
                 "a name without white space, control characters, '<' and '>' was wanted, found "
                 "\"{}\"",
                 shortened(name));
    }
  }
}

}  // namespace glmoe::serve
