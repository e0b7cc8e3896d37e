// /health: the process works. /ready: it answers prompts. /version. /metrics.
#include <chrono>

#include "base/json.h"
#include "serve/endpoints/endpoints.h"
#include "serve/http/offload.h"

namespace glmoe::serve {
namespace {

using Awaitable = boost::asio::awaitable<void>;
constexpr const char* kJson = "application/json";

Awaitable health(EndpointContext& context, ResponseWriter& response) {
  const Phase phase = context.engine.phase();
  const bool alive = phase != Phase::kFailed;  // a failed engine needs a new process
  const OrderedJson body = {{"status", alive ? "ok" : "failed"}};
  response.send(alive ? 200 : 503, kJson, body.dump());
  co_return;
}

Awaitable ready(EndpointContext& context, ResponseWriter& response) {
  const Phase phase = context.engine.phase();
  const OrderedJson body = {{"status", phase_name(phase)}};
  if (phase == Phase::kReady) {
    response.send(200, kJson, body.dump());
  } else {
    response.send(503, kJson, body.dump(), {{"Retry-After", "5"}});
  }
  co_return;
}

Awaitable version(EndpointContext& context, ResponseWriter& response) {
  const OrderedJson body = {{"version", context.version}};
  response.send(200, kJson, body.dump());
  co_return;
}

Awaitable metrics(EndpointContext& context, ResponseWriter& response) {
  std::string text;
  std::function<void()> work = [&] { text = context.metrics.text(); };
  co_await offload(context.workers, std::move(work));
  response.send(200, "text/plain; version=0.0.4; charset=utf-8", std::move(text));
}

Handler bind(Awaitable (*function)(EndpointContext&, ResponseWriter&), EndpointContext& context) {
  return [function, &context](const HttpRequest&, ResponseWriter& response) {
    return function(context, response);
  };
}

}  // namespace

void add_health_routes(Router& router, EndpointContext& context) {
  router.add({"GET", "/health", Access::kPublic, bind(health, context)});
  router.add({"GET", "/ready", Access::kPublic, bind(ready, context)});
  router.add({"GET", "/version", Access::kApi, bind(version, context)});
}

void add_metrics_route(Router& router, EndpointContext& context, Access access) {
  router.add({"GET", "/metrics", access, bind(metrics, context)});
}

}  // namespace glmoe::serve
