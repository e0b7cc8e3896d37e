// The Anthropic API's bodies: /v1/messages and /v1/messages/count_tokens. Errors as in
// serve/openai/api.h.
#pragma once

#include <string>
#include <string_view>

#include "serve/api/api_call.h"

namespace glmoe::serve::anthropic {

ApiCall read_messages_call(std::string_view body, const ApiContext& context);
std::string count_tokens_body(std::string_view body, const ApiContext& context);

}  // namespace glmoe::serve::anthropic
