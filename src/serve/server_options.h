// Everything about the server that is not about the engine. Every field has a flag of
// `glmoe serve`; docs/serving.md says what they do.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "serve/http/limits.h"
#include "serve/metrics.h"

namespace glmoe::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8000;  // 0: any free one
  std::string uds_path;  // a Unix socket instead of host and port
  std::string ssl_certificate_file, ssl_key_file;
  std::vector<std::string> api_keys;
  std::string api_key_source = "--api_key";  // where they come from, for errors
  std::string api_key_file;
  std::vector<std::string> cors_origins;

  bool admin = true;
  std::string admin_host = "127.0.0.1";
  uint16_t admin_port = 8001;  // 0: any free one
  std::string admin_api_key;
  std::string admin_api_key_source = "--admin_api_key";

  HttpLimits limits;
  int num_io_threads = 2;
  int num_workers = 2;  // parse bodies and tokenise
  std::chrono::milliseconds shutdown_timeout{30'000};
  std::chrono::milliseconds keep_alive_interval{15'000};
  bool cache_salt_per_key = false;
  ExpertMetrics expert_metrics = ExpertMetrics::kLayers;
  bool expert_view = false;  // GET /experts on the data port too, for the web page
  bool log_requests = true;
  bool log_json = false;
  std::string version;
};

}  // namespace glmoe::serve
