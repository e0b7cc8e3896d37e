// The end points, as routes. Each function adds those of its file; what they refer to outlives the
// router.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <string>

#include "serve/engine_slot.h"
#include "serve/http/http_service.h"
#include "serve/http/router.h"
#include "serve/metrics.h"

namespace glmoe::serve {

struct EndpointContext {
  EngineSlot& engine;
  ServerMetrics& metrics;
  boost::asio::thread_pool& workers;
  InFlight& in_flight;          // of the data port
  std::function<void()> drain;  // begins to shut down
  std::string version;
  bool cache_salt_per_key = false;  // prefixes are shared only by requests of the same key
  std::chrono::milliseconds keep_alive_interval{15'000};  // of silent event streams
};

void add_health_routes(Router& router, EndpointContext& context);  // /health /ready /version
void add_metrics_route(Router& router, EndpointContext& context, Access access);
void add_api_routes(Router& router, EndpointContext& context);    // OpenAI's and Anthropic's
void add_admin_routes(Router& router, EndpointContext& context);  // /admin/...
// The expert counts, read only, under a path of their own.
void add_expert_route(Router& router, EndpointContext& context, const char* path, Access access);

}  // namespace glmoe::serve
