// glmoe serve: the engine behind the OpenAI and Anthropic APIs.
//
// The ports are bound before the model is loaded, so that a port in use is known at once and probes
// are answered meanwhile. Exit status: 0 drained, 1 a failed engine or an aborted shutdown.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>

#include "apps/command.h"
#include "apps/serve_flags.h"
#include "base/env.h"
#include "base/error.h"
#include "base/log.h"
#include "serve/server.h"

namespace glmoe::apps {
namespace {

struct ServeOptions {
  LlmOptions llm;
  std::string preset;
  int64_t num_layers = 0;
  serve::ServerOptions server;
  serve::ServeLimits api_limits;
  std::vector<std::string> served_model_names;
  bool parse_reasoning = true;
  bool parse_tools = true;
};

// The folder's own name, as clients see it: not the path, which is nobody's business.
std::string default_model_name(const ServeOptions& options) {
  if (options.llm.model.empty()) return options.preset;
  std::filesystem::path path = std::filesystem::absolute(options.llm.model).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return path.filename().string();
}

void add_environment_keys(serve::ServerOptions& server) {
  const env::Environment& environment = env::get();
  if (!environment.api_key.empty()) {
    if (server.api_keys.empty()) server.api_key_source = "environment variable GLMOE_API_KEY";
    server.api_keys.push_back(environment.api_key);
  }
  if (server.admin_api_key.empty() && !environment.admin_api_key.empty()) {
    server.admin_api_key = environment.admin_api_key;
    server.admin_api_key_source = "environment variable GLMOE_ADMIN_API_KEY";
  }
}

// For a second signal, or one while the model is read: a step or a read may take minutes, and
// whoever signals twice does not want to wait for it.
void end_process(bool loading) {
  log::warn(loading ? "stopped while the model was loaded" : "aborted by a second signal");
  std::fflush(nullptr);
  std::_Exit(loading ? 0 : 1);
}

int run(ServeOptions& options) {
  resolve_shapes("serve", options.preset, options.num_layers, options.llm);
  if (options.server.log_json) log::use_json();
  options.server.version = GLMOE_VERSION;
  add_environment_keys(options.server);
  std::vector<std::string> names = options.served_model_names;
  if (names.empty()) names.push_back(default_model_name(options));

  std::unique_ptr<LLM> llm;  // both outlive the server
  std::optional<serve::LlmText> text;
  serve::Server server(options.server);
  server.handle_signals(end_process);
  server.start();
  log::info("listening at {}{}", server.url(),
            server.admin_url().empty() ? "" : ", admin at " + server.admin_url());

  llm = std::make_unique<LLM>(options.llm);
  serve::ApiContext context{.text = &text.emplace(*llm),
                            .model_names = names,
                            .max_model_len = llm->max_seq_len(),
                            .created = static_cast<int64_t>(std::time(nullptr)),
                            .limits = options.api_limits,
                            .parse_reasoning = options.parse_reasoning,
                            .parse_tools = options.parse_tools};
  server.set_engine(*llm, std::move(context));
  std::printf("ready %s admin %s\n", server.url().c_str(),
              server.admin_url().empty() ? "none" : server.admin_url().c_str());
  std::fflush(stdout);
  const serve::Server::Outcome outcome = server.wait();
  log::info(outcome == serve::Server::Outcome::kDrained ? "drained" : "stopped");
  return outcome == serve::Server::Outcome::kFailed ? 1 : 0;
}

}  // namespace

void add_serve(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand(
      "serve", "Serve the OpenAI and Anthropic APIs over HTTP (docs/serving.md)");
  add_model_flags(*command, options->llm, /*model_required=*/false);
  add_shape_flags(*command, options->preset, options->num_layers, options->llm);
  command->add_option("--served_model_name", options->served_model_names,
                      "Name in the API [the folder's]; may be given several times");
  command->add_flag("--parse_reasoning,!--no_parse_reasoning", options->parse_reasoning,
                    "Reasoning in a field of its own (default)");
  command->add_flag("--parse_tools,!--no_parse_tools", options->parse_tools,
                    "Tool calls as structured fields (default)");
  add_server_flags(*command, options->server);
  add_limit_flags(*command, options->server.limits, options->api_limits);
  command->callback([options] {
    const int status = run(*options);
    if (status != 0) throw CLI::RuntimeError(status);
  });
}

}  // namespace glmoe::apps
