// One listening socket: accepts, counts, refuses what is too many.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "serve/http/http_service.h"
#include "serve/http/io_loops.h"
#include "serve/http/transport.h"

namespace glmoe::serve {

class Listener {
 public:
  struct Address {
    std::string host;      // an IP address, or a name of this machine; unused with a path
    uint16_t port = 0;     // 0: any free one
    std::string uds_path;  // a Unix socket instead
  };

  // Binds and listens, accepting nothing yet. Throws kInvalidArgument for an address that is none,
  // kIo naming the address where it can't be had (in use, not allowed). All references outlive it.
  Listener(IoLoops& loops, const Address& address, HttpService& service, TlsContext* tls);
  ~Listener();  // removes the Unix socket

  void start();
  // From any thread. drain: connections close as soon as they have answered; new ones are still
  // accepted, so that they can be told why. abort: closes them now.
  void drain();
  void stop_accepting();
  void abort_connections();

  std::string host() const;  // as bound, "127.0.0.1"
  uint16_t port() const;
  std::string url() const;  // "http://127.0.0.1:8000", "unix:/run/glmoe.sock"

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace glmoe::serve
