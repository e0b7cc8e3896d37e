// What only whoever runs the server may do: cancel, drain, look inside. On the admin port alone.
#include <mutex>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/endpoints/endpoints.h"
#include "serve/http/offload.h"

namespace glmoe::serve {
namespace {

using Awaitable = boost::asio::awaitable<void>;
constexpr const char* kJson = "application/json";

// The string under `key` of a JSON object. Throws kInvalidArgument.
std::string string_field(const std::string& body, std::string_view key) {
  try {
    const Json json = parse_json(body, "the request's body", {.max_bytes = 4096, .max_depth = 4});
    return JsonReader(json, "the request's body").string(key);
  } catch (const Error& error) {
    throw Error(ErrorCode::kInvalidArgument, error.what());
  }
}

Awaitable cancel(EndpointContext& context, const HttpRequest& request, ResponseWriter& response) {
  const std::string id = string_field(request.body, "id");
  const size_t count = context.in_flight.cancel(id, CancelReason::kAdminRequest);
  if (count == 0) {
    response.send_error({.status = 404,
                         .message = fmt::format("no request with the id '{}' is in work: its "
                                                "X-Request-Id was wanted",
                                                id),
                         .code = "unknown_request"});
    co_return;
  }
  const OrderedJson body = {{"cancelled", count}};
  response.send(200, kJson, body.dump());
}

Awaitable drain(EndpointContext& context, const HttpRequest&, ResponseWriter& response) {
  const OrderedJson body = {{"status", "draining"}, {"requests", context.in_flight.size()}};
  response.send(202, kJson, body.dump());
  context.drain();
  co_return;
}

Awaitable experts(EndpointContext& context, const HttpRequest&, ResponseWriter& response) {
  const LLM& llm = context.engine.llm();
  ExpertCounts counts;
  std::function<void()> work = [&] { counts = llm.expert_counts(); };
  co_await offload(context.workers, std::move(work));
  OrderedJson layers = OrderedJson::array();
  for (size_t layer = 0; layer < counts.tokens.size(); ++layer) {
    if (counts.tokens[layer].empty()) continue;
    layers.push_back({{"layer", layer}, {"tokens", counts.tokens[layer]}});
  }
  const OrderedJson body = {{"steps", counts.steps}, {"layers", std::move(layers)}};
  response.send(200, kJson, body.dump());
}

Awaitable config(EndpointContext& context, const HttpRequest&, ResponseWriter& response) {
  const LLM& llm = context.engine.llm();
  OrderedJson body = {{"version", context.version}, {"device", llm.device()}};
  body["config"] = llm.describe();
  OrderedJson startup = OrderedJson::array();
  for (const StartupPhase& phase : llm.startup()) {
    startup.push_back({{"phase", phase.name}, {"ms", phase.ms}});
  }
  body["startup"] = std::move(startup);
  response.send(200, kJson, body.dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
  co_return;
}

Awaitable get_log_level(EndpointContext&, const HttpRequest&, ResponseWriter& response) {
  const auto level = spdlog::level::to_string_view(spdlog::get_level());
  const OrderedJson body = {{"level", std::string(level.data(), level.size())}};
  response.send(200, kJson, body.dump());
  co_return;
}

Awaitable set_log_level(EndpointContext& context, const HttpRequest& request,
                        ResponseWriter& response) {
  log::set_level(string_field(request.body, "level"));
  co_await get_log_level(context, request, response);
}

Handler bind(Awaitable (*function)(EndpointContext&, const HttpRequest&, ResponseWriter&),
             EndpointContext& context) {
  return [function, &context](const HttpRequest& request, ResponseWriter& response) {
    return function(context, request, response);
  };
}

}  // namespace

void add_expert_route(Router& router, EndpointContext& context, const char* path, Access access) {
  router.add({"GET", path, access, bind(experts, context)});
}

void add_admin_routes(Router& router, EndpointContext& context) {
  router.add({"POST", "/admin/cancel", Access::kAdmin, bind(cancel, context)});
  router.add({"POST", "/admin/drain", Access::kAdmin, bind(drain, context)});
  add_expert_route(router, context, "/admin/experts", Access::kAdmin);
  router.add({"GET", "/admin/config", Access::kAdmin, bind(config, context)});
  router.add({"GET", "/admin/log_level", Access::kAdmin, bind(get_log_level, context)});
  router.add({"POST", "/admin/log_level", Access::kAdmin, bind(set_log_level, context)});
}

}  // namespace glmoe::serve
