// The routes of the OpenAI and Anthropic APIs.
#include <utility>

#include "serve/anthropic/api.h"
#include "serve/endpoints/endpoints.h"
#include "serve/endpoints/generation.h"
#include "serve/http/offload.h"
#include "serve/openai/api.h"

namespace glmoe::serve {
namespace {

constexpr const char* kJson = "application/json";

void add_generation(Router& router, EndpointContext& context, const char* path, ReadCall read,
                    ErrorStyle style = ErrorStyle::kOpenAi) {
  router.add({.method = "POST",
              .path = path,
              .access = Access::kApi,
              .handler =
                  [&context, read](const HttpRequest& request, ResponseWriter& response) {
                    return run_generation(context, read, request, response);
                  },
              .error_style = style,
              .refused_while_draining = true});
}

// An end point that makes a body of a body.
using Transform = std::string (*)(std::string_view body, const ApiContext& context);

boost::asio::awaitable<void> run_transform(EndpointContext& context, Transform transform,
                                           const HttpRequest& request, ResponseWriter& response) {
  require_json(request);
  const ApiContext& api = context.engine.context();
  std::string body;
  std::function<void()> work = [&] { body = transform(request.body, api); };
  co_await offload(context.workers, std::move(work));
  response.send(200, kJson, std::move(body));
}

void add_transform(Router& router, EndpointContext& context, const char* path, Transform transform,
                   ErrorStyle style = ErrorStyle::kOpenAi) {
  router.add({.method = "POST",
              .path = path,
              .access = Access::kApi,
              .handler =
                  [&context, transform](const HttpRequest& request, ResponseWriter& response) {
                    return run_transform(context, transform, request, response);
                  },
              .error_style = style});
}

boost::asio::awaitable<void> list_models(EndpointContext& context, const HttpRequest&,
                                         ResponseWriter& response) {
  response.send(200, kJson, openai::models_body(context.engine.context()));
  co_return;
}

boost::asio::awaitable<void> show_model(EndpointContext& context, const HttpRequest& request,
                                        ResponseWriter& response) {
  response.send(200, kJson, openai::model_body(request.path_rest, context.engine.context()));
  co_return;
}

}  // namespace

void add_api_routes(Router& router, EndpointContext& context) {
  add_generation(router, context, "/v1/chat/completions", openai::read_chat_call);
  add_generation(router, context, "/v1/completions", openai::read_completion_call);
  add_generation(router, context, "/v1/messages", anthropic::read_messages_call,
                 ErrorStyle::kAnthropic);
  add_transform(router, context, "/v1/messages/count_tokens", anthropic::count_tokens_body,
                ErrorStyle::kAnthropic);
  add_transform(router, context, "/tokenize", openai::tokenize_body);
  add_transform(router, context, "/detokenize", openai::detokenize_body);
  add_transform(router, context, "/apply-template", openai::apply_template_body);
  router.add({"GET", "/v1/models", Access::kApi,
              [&context](const HttpRequest& request, ResponseWriter& response) {
                return list_models(context, request, response);
              }});
  router.add({"GET", "/v1/models/*", Access::kApi,
              [&context](const HttpRequest& request, ResponseWriter& response) {
                return show_model(context, request, response);
              }});
}

}  // namespace glmoe::serve
