// One connection of an HttpClient: requests one after the other, and a watch over silence.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "serve/client/client_stream.h"
#include "serve/client/http_client.h"

namespace glmoe::serve {

class ClientConnection {
 public:
  using Live = std::unordered_set<ClientConnection*>;

  // Enters itself in `live`, so that all can be cancelled. `options` outlives it.
  ClientConnection(boost::asio::io_context& io, const HttpClientOptions& options,
                   std::shared_ptr<Live> live);
  ~ClientConnection();
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  // Both throw RequestFailed.
  boost::asio::awaitable<void> connect(
      const boost::asio::ip::tcp::resolver::results_type& addresses,
      boost::asio::ssl::context* tls);
  // `request`: the bytes. True where the connection can be used again.
  boost::asio::awaitable<bool> exchange(const std::string& request, ResponseSink& sink);

  // Whether anything of the last answer has come: if not, and the connection had been used before,
  // the server had closed it in the meantime.
  bool answered() const { return answered_; }
  // What is in work, or begun later, ends with kCancelled.
  void cancel();

 private:
  struct Answer;
  boost::asio::awaitable<bool> read_answer(ResponseSink& sink);
  boost::asio::awaitable<bool> read_more(Answer& answer);
  void parse(Answer& answer);
  void begin_watch(std::chrono::milliseconds limit, std::function<void()> on_silence);
  void arm_watch();
  void end_watch();
  [[noreturn]] void throw_ended();
  [[noreturn]] void fail_with(FailureKind kind, const std::string& message);

  const HttpClientOptions& options_;
  std::shared_ptr<Live> live_;
  boost::asio::steady_timer watch_;
  std::unique_ptr<ClientStream> stream_;
  std::vector<char> buffer_;
  size_t filled_ = 0;
  ClientTime last_byte_;
  std::chrono::milliseconds limit_{0};
  std::function<void()> on_silence_;
  // For the timer's callback, which may be on its way already when this is destroyed.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool answered_ = false, timed_out_ = false, cancelled_ = false;
};

}  // namespace glmoe::serve
