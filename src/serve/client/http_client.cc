#include "serve/client/http_client.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "serve/client/client_connection.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

std::string request_text(const HttpClientOptions& options, const ClientRequest& request) {
  std::string text =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: glmoe\r\nAccept: */*\r\n",
                  request.method, options.url.target(request.target), options.url.host_header());
  if (!options.api_key.empty()) text += "Authorization: Bearer " + options.api_key + "\r\n";
  if (!request.body.empty()) {
    text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n",
                        request.body.size());
  }
  return text + "\r\n" + request.body;
}

}  // namespace

struct HttpClient::State {
  std::optional<Tcp::resolver::results_type> addresses;
  std::optional<asio::ssl::context> tls;
  std::shared_ptr<ClientConnection::Live> live = std::make_shared<ClientConnection::Live>();
  std::vector<std::unique_ptr<ClientConnection>> idle;
  bool cancelled = false;
};

// ---------------------------------------------------------------------------- the client

HttpClient::HttpClient(asio::io_context& io, HttpClientOptions options)
    : io_(io), options_(std::move(options)), state_(std::make_unique<State>()) {
  if (!options_.url.tls) return;
  state_->tls.emplace(asio::ssl::context::tls_client);
  state_->tls->set_default_verify_paths();
  state_->tls->set_verify_mode(options_.verify_tls ? asio::ssl::verify_peer
                                                   : asio::ssl::verify_none);
}

HttpClient::~HttpClient() = default;

asio::awaitable<void> HttpClient::resolve() {
  if (state_->addresses) co_return;
  Tcp::resolver resolver(io_);
  error_code error;
  auto addresses =
      co_await resolver.async_resolve(options_.url.host, std::to_string(options_.url.port),
                                      asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    throw RequestFailed(FailureKind::kConnect, fmt::format("{}: the host is not known ({})",
                                                           options_.url.text(), error.message()));
  }
  state_->addresses = std::move(addresses);
}

asio::awaitable<std::unique_ptr<ClientConnection>> HttpClient::connect() {
  co_await resolve();
  if (state_->cancelled) throw RequestFailed(FailureKind::kCancelled, "cancelled");
  auto connection = std::make_unique<ClientConnection>(io_, options_, state_->live);
  co_await connection->connect(*state_->addresses, state_->tls ? &*state_->tls : nullptr);
  co_return connection;
}

asio::awaitable<void> HttpClient::exchange(const ClientRequest& request, ResponseSink& sink) {
  const std::string text = request_text(options_, request);
  for (;;) {
    if (state_->cancelled) throw RequestFailed(FailureKind::kCancelled, "cancelled");
    std::unique_ptr<ClientConnection> connection;
    const bool kept = !state_->idle.empty();
    if (kept) {
      connection = std::move(state_->idle.back());
      state_->idle.pop_back();
    } else {
      connection = co_await connect();
    }
    try {
      if (co_await connection->exchange(text, sink) && !state_->cancelled) {
        state_->idle.push_back(std::move(connection));
      }
      co_return;
    } catch (const RequestFailed& error) {
      const bool stale =
          kept && !connection->answered() && error.failure().kind == FailureKind::kTruncated;
      if (!stale) throw;
    }
    state_->idle.clear();  // the others are as old
  }
}

namespace {

class TextSink final : public ResponseSink {
 public:
  explicit TextSink(size_t max_bytes) : max_bytes_(max_bytes) {}
  void on_head(const ResponseHead& got) override { head = got; }
  void on_body(ClientTime, std::string_view bytes) override {
    if (text.size() + bytes.size() > max_bytes_) {
      throw RequestFailed(FailureKind::kProtocol,
                          fmt::format("the answer is longer than {} bytes", max_bytes_));
    }
    text += bytes;
  }
  ResponseHead head;
  std::string text;

 private:
  size_t max_bytes_;
};

}  // namespace

asio::awaitable<std::string> HttpClient::fetch(const ClientRequest& request, size_t max_bytes) {
  TextSink sink(max_bytes);
  co_await exchange(request, sink);
  if (sink.head.status != 200) {
    Failure failure = status_failure(sink.head.status, sink.text, sink.head.retry_after);
    failure.message +=
        fmt::format(" ({} {}{})", request.method, options_.url.text(), request.target);
    throw RequestFailed(std::move(failure));
  }
  co_return std::move(sink.text);
}

void HttpClient::cancel_all() {
  state_->cancelled = true;
  state_->idle.clear();
  for (ClientConnection* connection : *state_->live) connection->cancel();
}

// ---------------------------------------------------------------------------- blocking

namespace {

asio::awaitable<void> watch_for_stop(HttpClient& client, const std::atomic<bool>& stop) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (!stop.load()) {
    timer.expires_after(std::chrono::milliseconds(20));
    co_await timer.async_wait(asio::use_awaitable);
  }
  client.cancel_all();
}

}  // namespace

void run_client(asio::io_context& io, HttpClient& client,
                std::function<asio::awaitable<void>()> work, const std::atomic<bool>* stop) {
  std::exception_ptr problem;
  bool done = false;
  asio::co_spawn(io, std::move(work), [&](std::exception_ptr thrown) {
    problem = std::move(thrown);
    done = true;
    io.stop();
  });
  if (stop != nullptr) {
    asio::co_spawn(io, watch_for_stop(client, *stop), [](const std::exception_ptr&) {});
  }
  io.restart();
  while (!done) io.run();
  if (problem) std::rethrow_exception(problem);
}

std::string fetch_blocking(const HttpClientOptions& options, const ClientRequest& request) {
  asio::io_context io;
  HttpClient client(io, options);
  std::string text;
  run_client(io, client, [&]() -> asio::awaitable<void> { text = co_await client.fetch(request); });
  return text;
}

}  // namespace glmoe::serve
