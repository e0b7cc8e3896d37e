#include "serve/anthropic/message_request.h"

#include <limits>
#include <memory>
#include <utility>

#include "serve/anthropic/message_writer.h"
#include "serve/api/answers.h"
#include "serve/api/generation_fields.h"

namespace glmoe::serve::anthropic {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

// Without the field there is no thinking, as clients of this API expect.
void read_thinking(Fields& fields, ChatPrompt& prompt, std::vector<std::string>& warnings) {
  std::optional<Fields> thinking = fields.object("thinking");
  bool wanted = false;
  if (thinking) {
    const std::string type = thinking->require_string("type");
    if (type != "enabled" && type != "disabled" && type != "adaptive") {
      fail_field(thinking->path("type"), "invalid_value",
                 "enabled, disabled or adaptive was wanted, found \"{}\"", shortened(type));
    }
    wanted = type != "disabled";
    if (thinking->integer("budget_tokens", 1, kMax)) {
      add_warning(warnings, thinking->path("budget_tokens"), "reasoning has no budget of its own");
    }
    thinking->ignore({"display"});
    thinking->warn_of_unknown(warnings);
  }
  if (!prompt.enable_thinking) prompt.enable_thinking = wanted;
}

void refuse_missing(Fields& fields) {
  for (const char* const name : {"mcp_servers", "container", "output_format"}) {
    const OrderedJson* value = fields.find(name);
    if (value != nullptr && !(value->is_structured() && value->empty())) {
      fail_field(fields.path(name), "unsupported_parameter", "not supported");
    }
  }
  if (std::optional<Fields> output = fields.object("output_config")) {
    if (output->find("format") != nullptr) {
      fail_field(output->path("format"), "unsupported_parameter",
                 "constrained output is not supported yet");
    }
    output->ignore({"effort"});
  }
  fields.ignore({"metadata", "service_tier", "context_management", "inference_geo", "betas",
                 "cache_control", "speed"});
}

// What /v1/messages and count_tokens share.
void read_prompt(Fields& fields, const ApiContext& context, MessageRequest& message) {
  message.model = read_model(fields, context);
  read_messages(fields, context.limits, message.prompt, message.warnings);
  read_tools(fields, context.limits, message.prompt, message.warnings);
  read_template_kwargs(fields, context.limits, message.prompt);
  read_thinking(fields, message.prompt, message.warnings);
  refuse_missing(fields);
  const bool forced = message.prompt.tool_choice == ToolChoice::kRequired ||
                      message.prompt.tool_choice == ToolChoice::kNamed;
  if (forced && message.prompt.continue_final_message) {
    fail_field("tool_choice", "invalid_value",
               "a call cannot be forced where the answer continues the assistant's last message");
  }
}

}  // namespace

MessageRequest read_message_request(std::string_view body, const ApiContext& context) {
  const OrderedJson json = parse_body(body, context.limits);
  Fields fields(json, "");
  MessageRequest message;
  SamplingParams& sampling = message.request.sampling;
  sampling.max_tokens =
      integer_value(fields.require("max_tokens"), fields.path("max_tokens"), 1, kMax);
  refuse_unsupported(fields);
  read_sampling(fields, context, sampling);
  read_stop(fields, "stop_sequences", context.limits, sampling);
  check_generated_tokens(1, sampling, context);
  message.stream = fields.boolean_or("stream", false);
  read_scheduling(fields, context.limits, message.request);
  read_prompt(fields, context, message);
  fields.warn_of_unknown(message.warnings);
  return message;
}

ApiCall read_messages_call(std::string_view body, const ApiContext& context) {
  MessageRequest message = read_message_request(body, context);
  message.request.prompt.token_ids = encode_prompt(message.prompt, context);
  check_prompt_length(message.request.prompt.token_ids.size(), "messages", context);
  MessageAnswerOptions options{.id = random_id("msg_"),
                               .model = std::move(message.model),
                               .stream = message.stream,
                               .sampling = message.request.sampling};
  stop_after_one_call(message.prompt, context, message.request.sampling);
  ApiCall call;
  call.stream = message.stream;
  call.warnings = std::move(message.warnings);
  call.requests.push_back(std::move(message.request));
  const AnswerCollector::Options collecting{.keep = !call.stream,
                                            .only_first_call = !message.prompt.parallel_tool_calls,
                                            .parser = parser_options(message.prompt, context),
                                            .chat = true};
  call.writer = std::make_unique<MessageWriter>(
      std::move(options), AnswerCollector(call.requests, *context.text, collecting));
  return call;
}

std::string count_tokens_body(std::string_view body, const ApiContext& context) {
  const OrderedJson json = parse_body(body, context.limits);
  Fields fields(json, "");
  MessageRequest message;
  read_prompt(fields, context, message);
  OrderedJson answer;
  answer["input_tokens"] = encode_prompt(message.prompt, context).size();
  return dump(answer);
}

}  // namespace glmoe::serve::anthropic
