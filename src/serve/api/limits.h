// What one request body may hold. Every limit is checked before anything of its size is made, and
// what exceeds one is refused with status 400, the limit and the field.
#pragma once

#include <cstddef>
#include <cstdint>

namespace glmoe::serve {

struct ServeLimits {
  // The JSON itself; its bytes are the body's, which HTTP limits.
  int max_json_depth = 64;
  size_t max_json_values = 1'000'000;
  size_t max_json_key_bytes = size_t{64} << 10;

  // Chats.
  size_t max_messages = 4096;
  size_t max_tools = 512;
  size_t max_tool_bytes = size_t{1} << 20;  // of all tools' JSON together
  size_t max_name_bytes = 256;              // of functions, call ids, roles
  size_t max_template_kwargs = 32;
  size_t max_template_kwargs_bytes = size_t{16} << 10;
  int max_template_kwargs_depth = 4;

  // Completions and sampling. The engine's own limits (n 128, stop 16 of 1 KiB, logprobs 20) hold
  // beside these.
  size_t max_prompts = 1024;
  int64_t max_answers = 128;                        // n, for each prompt
  int64_t max_generated_tokens = int64_t{1} << 22;  // prompts * n * max_tokens
  size_t max_stop_strings = 16;
  size_t max_stop_bytes = 1024;
  size_t max_stop_token_ids = 128;
  size_t max_logit_biases = 1024;
  int64_t max_logprobs = 20;
  size_t max_cache_salt_bytes = 256;
  double max_timeout_s = 0.0;  // of a request's own deadline, and the default of all; 0: none

  // No tokenizer packs more bytes of text into one token on average: longer prompts are refused
  // before they are tokenised.
  int64_t max_bytes_per_token = 64;
};

}  // namespace glmoe::serve
