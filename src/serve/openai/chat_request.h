// POST /v1/chat/completions: from the body to engine requests and a writer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/api_call.h"
#include "serve/api/chat_prompt.h"
#include "serve/api/generation_fields.h"
#include "serve/openai/api.h"

namespace glmoe::serve::openai {

// Everything that a chat's body says, checked. The prompt is not yet encoded.
struct ChatRequest {
  std::string model;
  ChatPrompt prompt;
  Request request;  // without its prompt
  StreamFields stream;
  std::optional<int64_t> num_top_logprobs;
  bool include_reasoning = true;
  bool return_token_ids = false;
  std::vector<std::string> warnings;
};

ChatRequest read_chat_request(std::string_view body, const ApiContext& context);

// The fields that make up the prompt: messages, tools, chat_template_kwargs, reasoning_effort and
// so on; what /tokenize and /apply-template read.
void read_chat_prompt(Fields& fields, const ApiContext& context, ChatPrompt& prompt,
                      std::vector<std::string>& warnings);

}  // namespace glmoe::serve::openai
