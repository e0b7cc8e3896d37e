#include "apps/client_flags.h"

#include <algorithm>
#include <cctype>
#include <chrono>

#include "base/env.h"
#include "base/json.h"

namespace glmoe::apps {

void add_client_flags(CLI::App& command, ClientFlags& flags, const std::string& model_flag) {
  command.add_option("--base_url", flags.base_url, "Address of the server")->capture_default_str();
  command.add_option(model_flag, flags.model, "Model's name in the API [the server's first]");
  command.add_option("--api_key", flags.api_key, "[environment variable GLMOE_API_KEY]");
  command.add_option("--timeout", flags.timeout_s, "Seconds without a byte that end a request")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  command.add_flag("--insecure", flags.insecure, "Accept any certificate of an https server");
}

serve::HttpClientOptions client_options(const ClientFlags& flags) {
  serve::HttpClientOptions options;
  options.url = serve::parse_server_url(flags.base_url, "--base_url");
  options.api_key = flags.api_key.empty() ? env::get().api_key : flags.api_key;
  const auto is_visible = [](unsigned char c) { return c > 0x20 && c < 0x7f; };
  if (!std::all_of(options.api_key.begin(), options.api_key.end(), is_visible)) {
    fail_argument("--api_key: visible ASCII characters without spaces were wanted");
  }
  options.silence_timeout =
      std::chrono::milliseconds(std::max<int64_t>(static_cast<int64_t>(flags.timeout_s * 1e3), 1));
  options.verify_tls = !flags.insecure;
  return options;
}

void fail_request(const serve::Failure& failure) {
  const bool unavailable = failure.kind == serve::FailureKind::kConnect ||
                           failure.kind == serve::FailureKind::kTimeout || failure.status == 429 ||
                           failure.status == 503;
  std::string message = failure.message;
  if (failure.status == 401) message += "; give the key with --api_key or GLMOE_API_KEY";
  if (failure.retry_after_s) {
    message += fmt::format("; try again in {:g} s", *failure.retry_after_s);
  }
  fail(unavailable ? ErrorCode::kUnavailable : ErrorCode::kIo, "{}", message);
}

std::string model_of(const ClientFlags& flags, const serve::HttpClientOptions& client) {
  const serve::ClientRequest request{.method = "GET", .target = "/v1/models", .body = {}};
  std::string body;
  try {
    body = serve::fetch_blocking(client, request);
  } catch (const serve::RequestFailed& error) {
    // Some servers have no such end point: with a name given there is no need for it.
    const int status = error.failure().status;
    if (flags.model.empty() || (status != 404 && status != 405)) fail_request(error.failure());
  }
  if (!flags.model.empty()) return flags.model;
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("data") && json["data"].is_array()) {
    for (const Json& model : json["data"]) {
      if (model.is_object() && model.contains("id") && model["id"].is_string()) {
        return model["id"].get<std::string>();
      }
    }
  }
  fail(ErrorCode::kCorrupt,
       "{}/v1/models names no model: give its name, or check that --base_url is an "
       "OpenAI-compatible server",
       client.url.text());
}

}  // namespace glmoe::apps
