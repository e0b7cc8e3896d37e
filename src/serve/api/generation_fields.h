// The fields of a body that say how to generate, with the names that OpenAI, vLLM and SGLang use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "glmoe/request.h"
#include "serve/api/api_call.h"
#include "serve/api/json_fields.h"

namespace glmoe::serve {

// "model": one of the served names (404 otherwise), the first where absent.
std::string read_model(Fields& fields, const ApiContext& context);

// temperature, top_p, top_k, min_p, the penalties, seed, min_tokens, ignore_eos, logit_bias,
// stop_token_ids, include_stop_str_in_output, skip_special_tokens.
void read_sampling(Fields& fields, const ApiContext& context, SamplingParams& sampling);

// A string or an array of strings.
void read_stop(Fields& fields, std::string_view key, const ServeLimits& limits,
               SamplingParams& sampling);

// priority, timeout (seconds; the server's limit is also the default), cache_salt.
void read_scheduling(Fields& fields, const ServeLimits& limits, Request& request);

// Fields whose effect a client relies on and that GLMoE does not have: refused with the reason,
// unless their value asks for nothing. response_format is among them.
void refuse_unsupported(Fields& fields);

// stream and stream_options.
struct StreamFields {
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
};
StreamFields read_stream(Fields& fields, std::vector<std::string>& warnings);

// Refuses a prompt that leaves no room for an answer (code context_length_exceeded), and more
// generated tokens in all than the limits allow.
void check_prompt_length(size_t num_tokens, const std::string& path, const ApiContext& context);
void check_prompt_bytes(size_t num_bytes, const std::string& path, const ApiContext& context);
void check_generated_tokens(size_t num_prompts, const SamplingParams& sampling,
                            const ApiContext& context);

}  // namespace glmoe::serve
