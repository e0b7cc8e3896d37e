// Bodies that need no generation: /v1/models, /tokenize, /detokenize, /apply-template.
#include <fmt/chrono.h>

#include <algorithm>
#include <ctime>

#include "serve/api/json_fields.h"
#include "serve/openai/api.h"
#include "serve/openai/chat_request.h"

namespace glmoe::serve::openai {
namespace {

// Both APIs list models under /v1/models: an entry has the fields of both.
OrderedJson model_json(const std::string& name, const ApiContext& context) {
  OrderedJson json;
  json["id"] = name;
  json["object"] = "model";
  json["created"] = context.created;
  json["owned_by"] = "glmoe";
  json["max_model_len"] = context.max_model_len;
  json["type"] = "model";
  json["display_name"] = name;
  const auto seconds = static_cast<std::time_t>(context.created);
  json["created_at"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(seconds));
  return json;
}

// The chat of a body that has "messages": its prompt alone counts.
ChatPrompt chat_prompt(Fields& fields, const ApiContext& context) {
  ChatPrompt prompt;
  std::vector<std::string> warnings;
  read_chat_prompt(fields, context, prompt, warnings);
  return prompt;
}

std::string prompt_json(const std::string& text) {
  OrderedJson json;
  json["prompt"] = text;
  return dump(json);
}

}  // namespace

std::string models_body(const ApiContext& context) {
  OrderedJson json;
  json["object"] = "list";
  json["data"] = OrderedJson::array();
  for (const std::string& name : context.model_names) {
    json["data"].push_back(model_json(name, context));
  }
  json["has_more"] = false;
  json["first_id"] = context.model_names.front();
  json["last_id"] = context.model_names.back();
  return dump(json);
}

std::string model_body(std::string_view id, const ApiContext& context) {
  const auto& names = context.model_names;
  if (std::find(names.begin(), names.end(), id) == names.end()) {
    throw ApiError(HttpError{.status = 404,
                             .message = fmt::format("the model \"{}\" is not served here: use {}",
                                                    shortened(id, 200), fmt::join(names, ", ")),
                             .code = "model_not_found",
                             .param = "model"});
  }
  return dump(model_json(std::string(id), context));
}

std::string tokenize_body(std::string_view body, const ApiContext& context) {
  const OrderedJson request = parse_body(body, context.limits);
  Fields fields(request, "");
  (void)read_model(fields, context);
  std::vector<int32_t> ids;
  if (fields.find("messages") != nullptr) {
    ids = encode_prompt(chat_prompt(fields, context), context);
  } else {
    const std::string text = fields.require_string("prompt");
    check_prompt_bytes(text.size(), "prompt", context);
    if (!text.empty()) ids = context.text->tokenize(text);
  }
  OrderedJson json;
  json["count"] = ids.size();
  json["max_model_len"] = context.max_model_len;
  json["tokens"] = ids;
  if (fields.boolean_or("return_token_strs", false)) {
    json["token_strs"] = OrderedJson::array();
    for (const int32_t id : ids) json["token_strs"].push_back(context.text->token_bytes(id));
  }
  return dump(json);
}

std::string detokenize_body(std::string_view body, const ApiContext& context) {
  const OrderedJson request = parse_body(body, context.limits);
  Fields fields(request, "");
  (void)read_model(fields, context);
  const OrderedJson& tokens = fields.require("tokens");
  check_items(tokens, "tokens", static_cast<size_t>(context.max_model_len));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < tokens.size(); ++i) {
    ids.push_back(static_cast<int32_t>(
        integer_value(tokens[i], item_path("tokens", i), 0, context.text->vocab_size() - 1)));
  }
  return prompt_json(context.text->detokenize(ids));
}

std::string apply_template_body(std::string_view body, const ApiContext& context) {
  const OrderedJson request = parse_body(body, context.limits);
  Fields fields(request, "");
  (void)read_model(fields, context);
  return prompt_json(render_prompt(chat_prompt(fields, context), context));
}

}  // namespace glmoe::serve::openai
