#include "serve/openai/chat_request.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "serve/api/answers.h"
#include "serve/openai/chat_writer.h"
#include "serve/openai/messages.h"

namespace glmoe::serve::openai {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

// enable_thinking of chat_template_kwargs goes first, then Z.ai's "thinking", then
// reasoning_effort.
void read_thinking(Fields& fields, ChatPrompt& prompt) {
  std::optional<bool> wanted;
  if (std::optional<std::string> effort = fields.string("reasoning_effort")) {
    constexpr std::string_view kEfforts[] = {"none", "minimal", "low", "medium",
                                             "high", "xhigh",   "max"};
    if (std::find(std::begin(kEfforts), std::end(kEfforts), *effort) == std::end(kEfforts)) {
      fail_field(fields.path("reasoning_effort"), "invalid_value", "{} was wanted, found \"{}\"",
                 fmt::join(kEfforts, ", "), shortened(*effort));
    }
    if (*effort == "none") wanted = false;
  }
  if (std::optional<Fields> thinking = fields.object("thinking")) {
    const std::string type = thinking->require_string("type");
    if (type != "enabled" && type != "disabled") {
      fail_field(thinking->path("type"), "invalid_value",
                 "enabled or disabled was wanted, found \"{}\"", shortened(type));
    }
    wanted = type == "enabled";
  }
  if (!prompt.enable_thinking) prompt.enable_thinking = wanted;
}

void read_generation_prompt(Fields& fields, ChatPrompt& prompt) {
  const std::optional<bool> add = fields.boolean("add_generation_prompt");
  prompt.add_generation_prompt = add.value_or(true);
  prompt.continue_final_message = fields.boolean_or("continue_final_message", false);
  if (!prompt.continue_final_message) return;
  const std::string path = fields.path("continue_final_message");
  if (add == true) {
    fail_field(path, "invalid_value", "not together with add_generation_prompt");
  }
  const OrderedJson& last = prompt.messages.back();
  if (last.at("role") != "assistant" || last.at("content") == "" || last.contains("tool_calls")) {
    fail_field(path, "invalid_value",
               "the last message has to be an assistant's, with content and without tool calls");
  }
  if (prompt.tool_choice == ToolChoice::kRequired || prompt.tool_choice == ToolChoice::kNamed) {
    fail_field(path, "invalid_value", "not together with a tool_choice that forces a call");
  }
}

int64_t read_max_tokens(Fields& fields, const ApiContext& context) {
  const std::optional<int64_t> old_name = fields.integer("max_tokens", 1, kMax);
  const std::optional<int64_t> asked = fields.integer("max_completion_tokens", 1, kMax);
  return asked ? *asked : old_name.value_or(context.max_model_len);
}

void read_logprobs(Fields& fields, const ServeLimits& limits, ChatRequest& chat) {
  const bool wanted = fields.boolean_or("logprobs", false);
  const std::optional<int64_t> top = fields.integer("top_logprobs", 0, limits.max_logprobs);
  if (top && !wanted && *top > 0) {
    fail_field(fields.path("top_logprobs"), "invalid_value",
               "only accepted where logprobs is true");
  }
  if (wanted) {
    chat.num_top_logprobs = top.value_or(0);
    chat.request.sampling.logprobs = chat.num_top_logprobs;
  }
  chat.request.sampling.prompt_logprobs = fields.integer("prompt_logprobs", 0, limits.max_logprobs);
  if (chat.request.sampling.prompt_logprobs && chat.stream.stream) {
    fail_field(fields.path("prompt_logprobs"), "unsupported_parameter",
               "not together with stream: ask for a whole answer");
  }
}

// OpenAI's own fields that change nothing here.
void ignore_known(Fields& fields) {
  fields.ignore({"user", "metadata", "store", "service_tier", "safety_identifier",
                 "prompt_cache_key", "prompt_cache_retention", "verbosity", "prediction",
                 "modalities", "request_id"});
}

}  // namespace

void read_chat_prompt(Fields& fields, const ApiContext& context, ChatPrompt& prompt,
                      std::vector<std::string>& warnings) {
  read_messages(fields, context.limits, prompt, warnings);
  read_tools(fields, context.limits, prompt, warnings);
  read_template_kwargs(fields, context.limits, prompt);
  read_thinking(fields, prompt);
  read_generation_prompt(fields, prompt);
}

ChatRequest read_chat_request(std::string_view body, const ApiContext& context) {
  const OrderedJson json = parse_body(body, context.limits);
  Fields fields(json, "");
  ChatRequest chat;
  SamplingParams& sampling = chat.request.sampling;
  chat.model = read_model(fields, context);
  refuse_unsupported(fields);
  sampling.max_tokens = read_max_tokens(fields, context);
  read_sampling(fields, context, sampling);
  read_stop(fields, "stop", context.limits, sampling);
  sampling.n = fields.integer("n", 1, context.limits.max_answers).value_or(1);
  check_generated_tokens(1, sampling, context);
  chat.stream = read_stream(fields, chat.warnings);
  read_logprobs(fields, context.limits, chat);
  read_scheduling(fields, context.limits, chat.request);
  chat.include_reasoning = fields.boolean_or("include_reasoning", true);
  chat.return_token_ids = fields.boolean_or("return_token_ids", false);
  read_chat_prompt(fields, context, chat.prompt, chat.warnings);
  ignore_known(fields);
  fields.warn_of_unknown(chat.warnings);
  return chat;
}

ApiCall read_chat_call(std::string_view body, const ApiContext& context) {
  ChatRequest chat = read_chat_request(body, context);
  chat.request.prompt.token_ids = encode_prompt(chat.prompt, context);
  check_prompt_length(chat.request.prompt.token_ids.size(), "messages", context);
  const SamplingParams asked = chat.request.sampling;
  stop_after_one_call(chat.prompt, context, chat.request.sampling);
  ApiCall call;
  call.stream = chat.stream.stream;
  call.warnings = std::move(chat.warnings);
  call.requests.push_back(std::move(chat.request));
  const AnswerCollector::Options collecting{.keep = !call.stream,
                                            .only_first_call = !chat.prompt.parallel_tool_calls,
                                            .parser = parser_options(chat.prompt, context),
                                            .chat = true};
  ChatAnswerOptions options{.id = random_id("chatcmpl-"),
                            .created = unix_seconds(),
                            .model = std::move(chat.model),
                            .stream = chat.stream,
                            .include_reasoning = chat.include_reasoning,
                            .return_token_ids = chat.return_token_ids,
                            .num_top_logprobs = chat.num_top_logprobs,
                            .sampling = asked};
  call.writer = std::make_unique<ChatWriter>(
      std::move(options), AnswerCollector(call.requests, *context.text, collecting), *context.text);
  return call;
}

}  // namespace glmoe::serve::openai
