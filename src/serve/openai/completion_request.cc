#include "serve/openai/completion_request.h"

#include <limits>
#include <memory>
#include <utility>

#include "serve/api/answers.h"
#include "serve/openai/completion_writer.h"

namespace glmoe::serve::openai {
namespace {

constexpr int64_t kDefaultMaxTokens = 16;  // OpenAI's
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

[[noreturn]] void fail_empty(const std::string& path) {
  fail_field(path, "invalid_value", "the prompt is empty: at least one token is wanted");
}

Prompt text_prompt(const OrderedJson& value, const std::string& path, const ApiContext& context) {
  const std::string& text = string_value(value, path);
  if (text.empty()) fail_empty(path);
  check_prompt_bytes(text.size(), path, context);
  return Prompt(text);
}

Prompt id_prompt(const OrderedJson& value, const std::string& path, const ApiContext& context) {
  if (value.empty()) fail_empty(path);
  check_prompt_length(value.size(), path, context);
  std::vector<int32_t> ids;
  ids.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    ids.push_back(static_cast<int32_t>(
        integer_value(value[i], item_path(path, i), 0, context.text->vocab_size() - 1)));
  }
  return Prompt(std::move(ids));
}

// A string, an array of strings, of token ids, or of arrays of token ids.
std::vector<Prompt> read_prompts(Fields& fields, const ApiContext& context) {
  const OrderedJson& value = fields.require("prompt");
  const std::string path = fields.path("prompt");
  if (value.is_string()) return {text_prompt(value, path, context)};
  if (!value.is_array()) {
    fail_field(path, "invalid_type",
               "a string, or an array of strings, of token ids or of arrays of token ids was "
               "wanted, found {}",
               describe(value));
  }
  if (value.empty()) fail_empty(path);
  if (value[0].is_number()) return {id_prompt(value, path, context)};
  check_items(value, path, context.limits.max_prompts);
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string where = item_path(path, i);
    if (value[0].is_string()) {
      prompts.push_back(text_prompt(value[i], where, context));
    } else if (value[i].is_array()) {
      prompts.push_back(id_prompt(value[i], where, context));
    } else {
      fail_field(where, "invalid_type", "a string or an array of token ids was wanted, found {}",
                 describe(value[i]));
    }
  }
  return prompts;
}

void read_logprobs(Fields& fields, const ServeLimits& limits, CompletionRequest& request) {
  SamplingParams& sampling = request.request.sampling;
  sampling.logprobs = fields.integer("logprobs", 0, limits.max_logprobs);
  const std::optional<int64_t> prompt = fields.integer("prompt_logprobs", 0, limits.max_logprobs);
  if (prompt && request.stream.stream) {
    fail_field(fields.path("prompt_logprobs"), "unsupported_parameter",
               "not together with stream: use echo and logprobs, or ask for a whole answer");
  }
  request.prompt_logprobs = prompt.has_value();
  sampling.prompt_logprobs = prompt;
  if (request.echo && sampling.logprobs) {
    sampling.prompt_logprobs = std::max(*sampling.logprobs, prompt.value_or(0));
  }
}

void refuse_missing(Fields& fields, int64_t n) {
  if (const std::optional<std::string> suffix = fields.string("suffix");
      suffix.value_or("") != "") {
    fail_field("suffix", "unsupported_parameter", "text after the answer is not supported");
  }
  const std::optional<int64_t> best_of = fields.integer("best_of", 1, kMax);
  if (best_of && *best_of != n) {
    fail_field("best_of", "unsupported_parameter",
               "only the value of n ({}) is supported, found {}: all answers are returned", n,
               *best_of);
  }
}

}  // namespace

CompletionRequest read_completion_request(std::string_view body, const ApiContext& context) {
  const OrderedJson json = parse_body(body, context.limits);
  Fields fields(json, "");
  CompletionRequest result;
  SamplingParams& sampling = result.request.sampling;
  result.model = read_model(fields, context);
  refuse_unsupported(fields);
  const int64_t max_tokens = fields.integer("max_tokens", 0, kMax).value_or(kDefaultMaxTokens);
  result.echo = fields.boolean_or("echo", false);
  result.only_prompt = max_tokens == 0;
  if (result.only_prompt && !result.echo) {
    fail_field("max_tokens", "invalid_value",
               "0 is accepted together with echo alone: there would be no answer");
  }
  sampling.max_tokens = std::max<int64_t>(max_tokens, 1);
  read_sampling(fields, context, sampling);
  read_stop(fields, "stop", context.limits, sampling);
  sampling.n = fields.integer("n", 1, context.limits.max_answers).value_or(1);
  refuse_missing(fields, sampling.n);
  result.stream = read_stream(fields, result.warnings);
  read_logprobs(fields, context.limits, result);
  read_scheduling(fields, context.limits, result.request);
  result.return_token_ids = fields.boolean_or("return_token_ids", false);
  result.prompts = read_prompts(fields, context);
  check_generated_tokens(result.prompts.size(), sampling, context);
  fields.ignore({"user", "metadata", "request_id"});
  fields.warn_of_unknown(result.warnings);
  return result;
}

ApiCall read_completion_call(std::string_view body, const ApiContext& context) {
  CompletionRequest completion = read_completion_request(body, context);
  CompletionAnswerOptions options{.id = random_id("cmpl-"),
                                  .created = unix_seconds(),
                                  .model = std::move(completion.model),
                                  .stream = completion.stream,
                                  .echo = completion.echo,
                                  .only_prompt = completion.only_prompt,
                                  .logprobs = completion.request.sampling.logprobs.has_value(),
                                  .prompt_logprobs = completion.prompt_logprobs,
                                  .return_token_ids = completion.return_token_ids,
                                  .sampling = completion.request.sampling};
  ApiCall call;
  call.stream = completion.stream.stream;
  call.warnings = std::move(completion.warnings);
  for (size_t i = 0; i < completion.prompts.size(); ++i) {
    Prompt& prompt = completion.prompts[i];
    const bool is_text = !prompt.text.empty();
    Request request = completion.request;
    request.prompt.token_ids = is_text ? context.text->tokenize(prompt.text) : prompt.token_ids;
    check_prompt_length(request.prompt.token_ids.size(), "prompt", context);
    if (completion.echo) {
      options.prompt_texts.push_back(is_text ? std::move(prompt.text)
                                             : context.text->detokenize(prompt.token_ids));
    }
    call.requests.push_back(std::move(request));
  }
  call.writer = std::make_unique<CompletionWriter>(
      std::move(options), AnswerCollector(call.requests, *context.text, {.keep = !call.stream}),
      *context.text);
  return call;
}

}  // namespace glmoe::serve::openai
