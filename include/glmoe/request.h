// What a caller asks for: prompt and sampling parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace glmoe {

// Changes the logits [V] that an answer's next token is taken from. `tokens` are those of prompt
// and answer so far. Called on the engine's threads, once a token; for different answers perhaps at
// the same time. What it throws ends that answer with kError; the others go on. On a GPU, rows of
// such answers travel to the host and back in every step; the others stay there.
using LogitsProcessor =
    std::function<void(std::span<const int32_t> tokens, std::span<float> logits)>;

// Temperature 0 is greedy. Order of operations: logits processor, logit bias, min_tokens,
// repetition / presence / frequency penalties, temperature, top_k, top_p, min_p, then one draw. An
// unset optional takes the model's generation_config.json, else the default in brackets.
struct SamplingParams {
  int64_t max_tokens = 256;          // generated tokens at most; clamped to what the context leaves
  int64_t min_tokens = 0;            // stop ids and strings are ignored before this many
  std::optional<float> temperature;  // [0, 100] [1.0]
  std::optional<int64_t> top_k;      // 0 or -1: all [0]
  std::optional<float> top_p;        // (0, 1] [1.0]
  std::optional<float> min_p;        // [0, 1] [0.0], relative to the most likely token
  std::optional<float> repetition_penalty;  // > 0 [1.0], over prompt and output
  float presence_penalty = 0.0f;            // [-2, 2], over the output
  float frequency_penalty = 0.0f;           // [-2, 2], over the output
  std::optional<uint64_t> seed;             // unset: drawn from the engine's own generator
  int64_t n = 1;                  // answers, 1..128; answer i of a seeded request uses (seed, i)
  std::vector<std::string> stop;  // stop strings, at most 16, each at most 1 KiB
  std::vector<int32_t> stop_token_ids;  // beside the model's own end tokens
  bool include_stop_str_in_output = false;
  bool ignore_eos = false;
  bool skip_special_tokens = true;         // in the text; token_ids always hold all
  std::map<int32_t, float> logit_bias;     // token id -> added to its logit, [-100, 100]
  std::optional<int64_t> logprobs;         // alternatives a generated token, 0..20
  std::optional<int64_t> prompt_logprobs;  // alternatives a prompt token, 0..20
  LogitsProcessor logits_processor;        // empty: none
};

// Either text (tokenised by the engine, special tokens in it recognised) or token ids.
struct Prompt {
  Prompt() = default;
  Prompt(std::string prompt_text) : text(std::move(prompt_text)) {}  // NOLINT: implicit
  Prompt(const char* prompt_text) : text(prompt_text) {}             // NOLINT: implicit
  Prompt(std::vector<int32_t> ids) : token_ids(std::move(ids)) {}    // NOLINT: implicit
  std::string text;
  std::vector<int32_t> token_ids;
};

// Options of LLM::render_chat; *_json hold JSON text in OpenAI's form.
struct ChatOptions {
  std::string tools_json;  // empty, or a JSON array of tools
  bool add_generation_prompt = true;
  std::optional<bool> enable_thinking;  // unset: the template's own default
  std::string template_kwargs_json;     // empty, or a JSON object of further variables
  bool allow_special_tokens = false;    // of encode_chat: markup spelt in messages is markup
};

struct Request {
  Prompt prompt;
  SamplingParams sampling;
  int32_t priority = 0;     // lower ones run first; equal ones in the order of their arrival
  double timeout_ms = 0.0;  // from submission; then it ends with kTimeout. 0: none
  // Requests share cached prefixes only with those of the same salt.
  std::string cache_salt;
};

}  // namespace glmoe
