// The flags of `glmoe serve` that are about the server.
#pragma once

#include <CLI/CLI.hpp>

#include "serve/api/limits.h"
#include "serve/server_options.h"

namespace glmoe::apps {

// Both outlive the parsing.
void add_server_flags(CLI::App& command, serve::ServerOptions& options);
void add_limit_flags(CLI::App& command, serve::HttpLimits& http, serve::ServeLimits& api);

}  // namespace glmoe::apps
