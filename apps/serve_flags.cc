#include "apps/serve_flags.h"

#include <fmt/format.h>

#include <map>
#include <string>

namespace glmoe::apps {
namespace {

using std::chrono::milliseconds;

// A time in seconds, with parts of them, at most a day.
CLI::Option* add_seconds(CLI::App& command, const std::string& flag, milliseconds& target,
                         const std::string& help) {
  return command
      .add_option_function<double>(
          flag,
          [&target](double seconds) { target = milliseconds(static_cast<int64_t>(seconds * 1e3)); },
          fmt::format("{} [{:g}]", help, static_cast<double>(target.count()) / 1e3))
      ->check(CLI::Range(0.001, 86400.0))
      ->type_name("SECONDS");
}

template <class T>
CLI::Option* add_count(CLI::App& command, const std::string& flag, T& target,
                       const std::string& help, T least = 1) {
  return command.add_option(flag, target, help)
      ->check(CLI::Range(static_cast<double>(least), 1e15))
      ->capture_default_str();
}

}  // namespace

void add_server_flags(CLI::App& command, serve::ServerOptions& options) {
  command.add_option("--host", options.host, "Address to listen at; 0.0.0.0 or :: for all")
      ->capture_default_str();
  command.add_option("--port", options.port, "0: any free one")->capture_default_str();
  command.add_option("--uds", options.uds_path, "Listen at this Unix socket instead");
  command.add_option("--ssl_certfile", options.ssl_certificate_file,
                     "Certificate chain in PEM form: HTTPS");
  command.add_option("--ssl_keyfile", options.ssl_key_file, "Its private key in PEM form");
  command.add_option(
      "--api_key", options.api_keys,
      "A key that clients must bring (better: GLMOE_API_KEY or --api_key_file, which "
      "other users of this machine do not see); may be given several times");
  command.add_option("--api_key_file", options.api_key_file, "A key a line");
  command.add_option("--cors_origin", options.cors_origins,
                     "Origin whose web pages may call the API, or *; may be given several times");
  command.add_flag("--admin,!--no_admin", options.admin, "Open the admin port (default)");
  command.add_option("--admin_host", options.admin_host)->capture_default_str();
  command.add_option("--admin_port", options.admin_port, "0: any free one")->capture_default_str();
  command.add_option("--admin_api_key", options.admin_api_key,
                     "Key of the admin port [GLMOE_ADMIN_API_KEY]");
  command.add_option("--num_io_threads", options.num_io_threads, "Threads that serve connections")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command
      .add_option("--num_workers", options.num_workers, "Threads that parse and tokenise requests")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  add_seconds(command, "--shutdown_timeout", options.shutdown_timeout,
              "For running requests after SIGTERM; then they end with an error");
  add_seconds(command, "--keep_alive_interval", options.keep_alive_interval,
              "Silence of an event stream after which a comment is sent");
  command.add_flag("--cache_salt_per_key", options.cache_salt_per_key,
                   "Share cached prefixes only between requests of the same API key");
  command
      .add_option("--expert_metrics", options.expert_metrics,
                  "none, layers (moe_imbalance) or experts (and tokens of each expert) in /metrics "
                  "[layers]")
      ->transform(CLI::Transformer(std::map<std::string, serve::ExpertMetrics>{
          {"none", serve::ExpertMetrics::kNone},
          {"layers", serve::ExpertMetrics::kLayers},
          {"experts", serve::ExpertMetrics::kExperts}}));
  command.add_flag("--enable_expert_view", options.expert_view,
                   "Show the experts on the API's port too: GET /experts, for the web page");
  command.add_flag("--log_requests,!--no_log_requests", options.log_requests,
                   "A line a request (default); never what a prompt says");
  command.add_flag("--log_json", options.log_json, "Log lines as JSON objects");
}

void add_limit_flags(CLI::App& command, serve::HttpLimits& http, serve::ServeLimits& api) {
  add_count(command, "--max_body_bytes", http.max_body_bytes, "Of a request's body");
  add_count(command, "--max_buffered_body_bytes", http.max_buffered_body_bytes,
            "Of the bodies of all requests that are read or in work");
  add_count(command, "--max_header_line_bytes", http.max_header_line_bytes, "Of one header",
            size_t{64});
  add_count(command, "--max_header_bytes", http.max_header_bytes, "Of all headers together",
            size_t{256})
      ->check(CLI::Range(256.0, 16777216.0));
  add_count(command, "--max_headers", http.max_headers, "Headers of a request");
  add_seconds(command, "--header_timeout", http.header_timeout, "For a request's headers");
  add_seconds(command, "--body_timeout", http.body_timeout, "For a request's body");
  add_count(command, "--min_body_bytes_per_s", http.min_body_bytes_per_s,
            "A body that arrives at least this fast has longer than --body_timeout; 0: no body has",
            size_t{0});
  add_seconds(command, "--idle_timeout", http.idle_timeout, "Between two requests");
  add_seconds(command, "--write_timeout", http.write_timeout,
              "Without progress, after which a client that does not read is cut off");
  add_count(command, "--max_unsent_bytes", http.max_unsent_bytes,
            "Of an event stream whose client reads too slowly, after which it is cut off");
  add_count(command, "--max_connections", http.max_connections, "At a time");
  add_count(command, "--max_connections_per_address", http.max_connections_per_address,
            "At a time, of one address; 0: no limit", int64_t{0});
  command.add_option("--max_json_depth", api.max_json_depth, "Nesting of a body")
      ->check(CLI::Range(4, 512))
      ->capture_default_str();
  add_count(command, "--max_json_values", api.max_json_values, "Values of a body");
  add_count(command, "--max_json_key_bytes", api.max_json_key_bytes, "Of one key of a body");
  add_count(command, "--max_messages", api.max_messages, "Messages of a chat");
  add_count(command, "--max_tools", api.max_tools, "Tools of a chat");
  add_count(command, "--max_tool_bytes", api.max_tool_bytes, "JSON of all tools of a chat");
  add_count(command, "--max_prompts", api.max_prompts, "Prompts of one completion request");
  add_count(command, "--max_answers", api.max_answers, "n of one prompt");
  add_count(command, "--max_generated_tokens", api.max_generated_tokens,
            "Prompts times n times max_tokens of one request");
  add_count(command, "--max_logit_biases", api.max_logit_biases, "Entries of logit_bias");
  command
      .add_option("--max_request_seconds", api.max_timeout_s,
                  "Longest time of a request, and the default of all; 0: none")
      ->check(CLI::Range(0.0, 604800.0))
      ->capture_default_str();
}

}  // namespace glmoe::apps
