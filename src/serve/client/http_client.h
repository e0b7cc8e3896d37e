// An HTTP/1.1 client on Asio coroutines: one server, connections kept open and used again.
//
// Everything of one HttpClient happens in the thread that runs its io_context. Bytes of a body are
// handed on as they arrive, with the time at which the read returned.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "serve/client/failure.h"
#include "serve/client/url.h"

namespace glmoe::serve {

using ClientTime = std::chrono::steady_clock::time_point;

struct HttpClientOptions {
  ServerUrl url;
  std::string api_key;  // sent as a bearer token; empty: none
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds silence_timeout{600'000};  // without any byte of the answer
  bool verify_tls = true;
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  // without the base address's path
  std::string body;          // JSON; empty: none
};

struct ResponseHead {
  int status = 0;
  std::string content_type;
  std::string retry_after;
};

// Who reads an answer. on_body may throw: the exchange ends with that.
class ResponseSink {
 public:
  virtual ~ResponseSink() = default;
  virtual void on_head(const ResponseHead& head) = 0;
  virtual void on_body(ClientTime when, std::string_view bytes) = 0;
};

class ClientConnection;

class HttpClient {
 public:
  HttpClient(boost::asio::io_context& io, HttpClientOptions options);
  ~HttpClient();

  // One request and its whole answer, whatever its status. `request` and `sink` outlive it. Throws
  // RequestFailed. A kept connection that the server had closed is replaced once, unseen.
  boost::asio::awaitable<void> exchange(const ClientRequest& request, ResponseSink& sink);
  // The answer as one text. Throws RequestFailed also where the status is not 200, and where it is
  // longer than `max_bytes`.
  boost::asio::awaitable<std::string> fetch(const ClientRequest& request,
                                            size_t max_bytes = size_t{64} << 20);

  // Ends all exchanges in work with kCancelled, and refuses further ones with it.
  void cancel_all();
  const HttpClientOptions& options() const { return options_; }

 private:
  struct State;
  boost::asio::awaitable<std::unique_ptr<ClientConnection>> connect();
  boost::asio::awaitable<void> resolve();

  boost::asio::io_context& io_;
  HttpClientOptions options_;
  std::unique_ptr<State> state_;
};

// Runs `work` in the calling thread until it is done; throws what it throws. `stop` is looked at
// every 20 ms: once true, what is in work ends with kCancelled. Null: nothing stops it.
void run_client(boost::asio::io_context& io, HttpClient& client,
                std::function<boost::asio::awaitable<void>()> work,
                const std::atomic<bool>* stop = nullptr);

// One fetch, blocking, for programs that ask a single thing. Throws RequestFailed.
std::string fetch_blocking(const HttpClientOptions& options, const ClientRequest& request);

}  // namespace glmoe::serve
