// One client's connection: reads requests one after the other, lets the routes answer them, and
// watches in the meantime whether the client is still there.
//
//   handshake -> [ head -> admit -> body -> handler -> drained ]* -> linger -> closed
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "serve/http/http_service.h"
#include "serve/http/input_stream.h"
#include "serve/http/output_queue.h"
#include "serve/http/request_parser.h"
#include "serve/http/response.h"
#include "serve/http/transport.h"

namespace glmoe::serve {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // `service` outlives it. `peer`: for logs and requests.
  Connection(std::unique_ptr<Transport> transport, HttpService& service, std::string peer);

  // Serves until the end; `done` is called on the strand then.
  void start(std::function<void()> done);
  // Answers 503 with `message` to whatever comes, and closes.
  void start_refusing(std::string code, std::string message, std::function<void()> done);

  // From any thread. drain: closes as soon as no request is in work. abort: closes now.
  void drain();
  void abort();

 private:
  using Awaitable = boost::asio::awaitable<void>;
  struct Exchange;  // one request and what becomes of it

  Awaitable serve();
  Awaitable refuse(HttpError error);
  boost::asio::awaitable<bool> handshake();
  boost::asio::awaitable<bool> serve_one(bool first);
  boost::asio::awaitable<bool> read_head(Exchange& exchange, bool first);
  Awaitable read_body(Exchange& exchange);
  Awaitable answer(Exchange& exchange, Response& response);
  Awaitable run_handler(const Exchange& exchange, Response& response);
  void answer_preflight(const Exchange& exchange, Response& response);
  ResponseForm form_of(const Exchange& exchange) const;
  void record(const Exchange& exchange, const Response& response);
  InFlight::Cancel canceller();
  Awaitable linger();
  void on_gone();

  std::unique_ptr<Transport> transport_;
  HttpService& service_;
  std::string peer_;
  InputStream input_;
  OutputQueue output_;
  Response* response_ = nullptr;  // of the request in work
  uint64_t exchange_number_ = 0;  // of that request, counted from 1
  bool idle_ = false;             // waits for a request of which nothing has come
  bool draining_ = false;
};

}  // namespace glmoe::serve
