// The server: ports, threads, end points, and the way from start to drained.
//
//   Server server(options);          // binds, so that a port in use is known before a model loads
//   server.start();                  // answers /health; everything else is 503
//   LLM llm(...);
//   server.set_engine(llm, context); // generates a token, then is ready
//   server.wait();                   // until a signal or /admin/drain, and drained
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "glmoe/llm.h"
#include "serve/api/api_call.h"
#include "serve/http/router.h"
#include "serve/server_options.h"

namespace glmoe::serve {

class Server {
 public:
  // Binds all ports and reads keys and certificate. Throws kInvalidArgument, kNotFound or kIo
  // naming the flag and the address.
  explicit Server(const ServerOptions& options);
  ~Server();  // aborts what still runs

  // Further routes of the data port, before start().
  Router& router();

  void start();
  // Generates one token and becomes ready. `llm` outlives the server. Throws what the engine
  // throws.
  void set_engine(LLM& llm, ApiContext context);
  // Ready without an engine, for routes that need none.
  void set_ready();

  enum class Outcome {
    kDrained,   // every request was answered
    kTimedOut,  // those that ran longer than the shutdown time-out were ended with an error
    kFailed     // the engine lost its device: the process has to be started again
  };
  // Returns once the server has stopped.
  Outcome wait();

  // From any thread. The first call drains, a second one calls `on_abort` (see below), if any.
  void shut_down();
  // SIGTERM and SIGINT call shut_down(). `on_abort` ends the process: for the second signal, and
  // for the first one while the model is being loaded (`loading`).
  void handle_signals(std::function<void(bool loading)> on_abort);

  std::string url() const;  // "http://127.0.0.1:8000"
  uint16_t port() const;
  std::string admin_url() const;  // empty without an admin port
  uint16_t admin_port() const;
  size_t requests_in_flight() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glmoe::serve
