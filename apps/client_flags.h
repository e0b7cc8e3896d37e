// The flags of the commands that talk to a server, and how its failures become errors.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <type_traits>

#include "base/error.h"
#include "serve/client/failure.h"
#include "serve/client/http_client.h"

namespace glmoe::apps {

struct ClientFlags {
  std::string base_url = "http://127.0.0.1:8000";
  std::string model;  // in the API; empty: the first that the server names
  std::string api_key;
  double timeout_s = 600.0;
  bool insecure = false;
};

// --base_url, --api_key, --timeout, --insecure and --model (as `model_flag`). `flags` outlives the
// parsing.
void add_client_flags(CLI::App& command, ClientFlags& flags,
                      const std::string& model_flag = "--model");

// The key is the flag's, else that of GLMOE_API_KEY. Throws kInvalidArgument.
serve::HttpClientOptions client_options(const ClientFlags& flags);

// The model's name: the flag's, else the first of GET /v1/models. Throws glmoe::Error where the
// server does not answer or refuses the key.
std::string model_of(const ClientFlags& flags, const serve::HttpClientOptions& client);

[[noreturn]] void fail_request(const serve::Failure& failure);

// Runs `call`; a failed request becomes a glmoe::Error.
template <class F>
std::invoke_result_t<F> server_call(F&& call) {
  try {
    return call();
  } catch (const serve::RequestFailed& error) {
    fail_request(error.failure());
  }
}

}  // namespace glmoe::apps
