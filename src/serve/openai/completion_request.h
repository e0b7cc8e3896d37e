// POST /v1/completions: from the body to one engine request a prompt, and a writer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/api_call.h"
#include "serve/api/generation_fields.h"
#include "serve/openai/api.h"

namespace glmoe::serve::openai {

struct CompletionRequest {
  std::string model;
  std::vector<Prompt> prompts;  // text or token ids, as they came
  Request request;              // of every prompt, without it
  StreamFields stream;
  bool echo = false;
  bool only_prompt = false;  // max_tokens 0
  bool prompt_logprobs = false;
  bool return_token_ids = false;
  std::vector<std::string> warnings;
};

CompletionRequest read_completion_request(std::string_view body, const ApiContext& context);

}  // namespace glmoe::serve::openai
