// POST /v1/messages and /v1/messages/count_tokens: from the body to a chat prompt in OpenAI's form,
// engine request and writer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serve/anthropic/api.h"
#include "serve/api/api_call.h"
#include "serve/api/chat_prompt.h"
#include "serve/api/json_fields.h"

namespace glmoe::serve::anthropic {

struct MessageRequest {
  std::string model;
  ChatPrompt prompt;
  Request request;  // without its prompt
  bool stream = false;
  std::vector<std::string> warnings;
};

MessageRequest read_message_request(std::string_view body, const ApiContext& context);

// "system" and "messages". Results of tools become messages of role tool; a last message of the
// assistant is one that the answer continues.
void read_messages(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt,
                   std::vector<std::string>& warnings);
// "tools" and "tool_choice".
void read_tools(Fields& fields, const ServeLimits& limits, ChatPrompt& prompt,
                std::vector<std::string>& warnings);

}  // namespace glmoe::serve::anthropic
