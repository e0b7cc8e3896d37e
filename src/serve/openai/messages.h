// The "messages" and "tools" of a chat in OpenAI's form, checked field by field and brought to the
// form that templates expect: contents as strings, arguments of calls as objects.
#pragma once

#include <string>
#include <vector>

#include "serve/api/api_call.h"
#include "serve/api/chat_prompt.h"
#include "serve/api/json_fields.h"

namespace glmoe::serve::openai {

// "messages", required. Role developer becomes system.
void read_messages(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt,
                   std::vector<std::string>& warnings);

// "tools", "tool_choice" and "parallel_tool_calls".
void read_tools(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt,
                std::vector<std::string>& warnings);

}  // namespace glmoe::serve::openai
