// The OpenAI API's bodies: what each end point reads and answers. Pure functions of body and model.
// All throw ApiError for a body that cannot be answered, and glmoe::Error where the engine refuses.
#pragma once

#include <string>
#include <string_view>

#include "serve/api/api_call.h"

namespace glmoe::serve::openai {

ApiCall read_chat_call(std::string_view body, const ApiContext& context);        // chat/completions
ApiCall read_completion_call(std::string_view body, const ApiContext& context);  // completions

// GET /v1/models, and /v1/models/{id} (404 for a name that is not served).
std::string models_body(const ApiContext& context);
std::string model_body(std::string_view id, const ApiContext& context);

// POST /tokenize ({prompt} or {messages, ...}), /detokenize ({tokens}), /apply-template
// ({messages, ...}): body to body.
std::string tokenize_body(std::string_view body, const ApiContext& context);
std::string detokenize_body(std::string_view body, const ApiContext& context);
std::string apply_template_body(std::string_view body, const ApiContext& context);

}  // namespace glmoe::serve::openai
