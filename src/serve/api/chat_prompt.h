// What a chat request of either API comes down to: messages and tools in OpenAI's form, how the
// answer begins, and the token ids of all that.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "glmoe/request.h"
#include "serve/api/api_call.h"
#include "serve/api/json_fields.h"

namespace glmoe::serve {

enum class ToolChoice { kAuto, kNone, kRequired, kNamed };

struct ChatPrompt {
  OrderedJson messages = OrderedJson::array();  // contents are strings, arguments are objects
  OrderedJson tools = OrderedJson::array();     // empty: none
  ToolChoice tool_choice = ToolChoice::kAuto;
  std::string tool_name;  // with kNamed
  bool parallel_tool_calls = true;
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the answer goes on where the last message ends
  std::optional<bool> enable_thinking;
  std::string template_kwargs_json;

  bool offers_tools() const { return !tools.empty() && tool_choice != ToolChoice::kNone; }
};

// The prompt as text, as the template writes it. With kRequired and kNamed the beginning of the
// call is part of it, in the form in which the template writes calls of earlier turns: reasoning
// closed, then <tool_call> and, with kNamed, the name. Throws ApiError, and kUnsupported where the
// template has no such form.
std::string render_prompt(const ChatPrompt& prompt, const ApiContext& context);
// The same as token ids; markup spelt in messages stays text. However long it is.
std::vector<int32_t> encode_prompt(const ChatPrompt& prompt, const ApiContext& context);

ChatParserOptions parser_options(const ChatPrompt& prompt, const ApiContext& context);

// parallel_tool_calls false: the answer ends with its first call. Adds the token to stop at.
void stop_after_one_call(const ChatPrompt& prompt, const ApiContext& context,
                         SamplingParams& sampling);

// chat_template_kwargs: names, number, size and depth. The engine refuses reserved names.
void read_template_kwargs(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt);

// Reads "tools": an entry by `read_tool` (its JSON, its path) into OpenAI's form. `name_path` is
// what leads from an entry to its name, for errors. Their number, bytes and doubles are checked.
void read_tool_list(
    Fields& fields, const ServeLimits& limits, std::string_view name_path,
    const std::function<OrderedJson(const OrderedJson&, const std::string&)>& read_tool,
    ChatPrompt& prompt);
// The tool that the "name" of `choice` asks for, which must be one of the prompt's.
void choose_named_tool(Fields& choice, ChatPrompt& prompt);
void check_required_call(const ChatPrompt& prompt, const std::string& path);

// A function's name as both APIs accept it here: no white space, control characters, '<' or '>',
// which could not be told from the markup around it.
void check_function_name(const std::string& name, const std::string& path,
                         const ServeLimits& limits);

}  // namespace glmoe::serve
