#include "serve/client/client_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>
#include <string_view>
#include <utility>

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

constexpr uint32_t kMaxHeadBytes = 64 << 10;
constexpr size_t kReadBytes = 32 << 10;

// What Beast's parser gives a body's bytes to: `value_type` is where they go, nothing is kept.
struct ForwardingBody {
  using value_type = std::function<void(std::string_view)>;
  class reader {
   public:
    template <bool isRequest, class Fields>
    reader(http::header<isRequest, Fields>&, value_type& to) : to_(to) {}
    void init(const boost::optional<uint64_t>&, error_code& error) { error = {}; }
    template <class Buffers>
    size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      size_t total = 0;
      for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
           ++it) {
        const asio::const_buffer buffer = *it;
        to_({static_cast<const char*>(buffer.data()), buffer.size()});
        total += buffer.size();
      }
      return total;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& to_;
  };
};

}  // namespace

// The answer that is read: the parser, and what the sink knows of it.
struct ClientConnection::Answer {
  explicit Answer(ResponseSink& to) : sink(to) { restart(); }

  void restart() {
    parser.emplace();
    parser->eager(true);
    parser->header_limit(kMaxHeadBytes);
    parser->body_limit(boost::none);
    parser->get().body() = [this](std::string_view bytes) {
      give_head();
      sink.on_body(when, bytes);
    };
  }
  void give_head() {
    if (std::exchange(head_given, true)) return;
    const auto text = [&](http::field field) {
      const auto value = parser->get()[field];
      return std::string(value.data(), value.size());
    };
    sink.on_head({.status = static_cast<int>(parser->get().result_int()),
                  .content_type = text(http::field::content_type),
                  .retry_after = text(http::field::retry_after)});
  }
  // 100 Continue and its kin stand before the answer.
  bool is_interim() const { return parser->is_done() && parser->get().result_int() / 100 == 1; }

  ResponseSink& sink;
  std::optional<http::response_parser<ForwardingBody>> parser;
  ClientTime when;
  bool head_given = false;
};

ClientConnection::ClientConnection(asio::io_context& io, const HttpClientOptions& options,
                                   std::shared_ptr<Live> live)
    : options_(options), live_(std::move(live)), watch_(io) {
  live_->insert(this);
}

ClientConnection::~ClientConnection() {
  *alive_ = false;
  live_->erase(this);
}

asio::awaitable<void> ClientConnection::connect(const Tcp::resolver::results_type& addresses,
                                                asio::ssl::context* tls) {
  const ServerUrl& url = options_.url;
  error_code error;
  Tcp::socket socket(watch_.get_executor());
  begin_watch(options_.connect_timeout, [&socket] {
    error_code ignored;
    socket.close(ignored);
  });
  co_await asio::async_connect(socket, addresses, asio::redirect_error(asio::use_awaitable, error));
  end_watch();
  if (error) {
    fail_with(FailureKind::kConnect,
              fmt::format("{}: {} (is the server running there?)", url.text(), error.message()));
  }
  stream_ = make_client_stream(std::move(socket), tls, url.host);
  begin_watch(options_.connect_timeout, [this] { stream_->close(); });
  co_await stream_->handshake(error);
  end_watch();
  if (error) {
    fail_with(FailureKind::kConnect, fmt::format("{}: TLS: {} (--insecure accepts any certificate)",
                                                 url.text(), error.message()));
  }
}

asio::awaitable<bool> ClientConnection::exchange(const std::string& request, ResponseSink& sink) {
  answered_ = false;
  begin_watch(options_.silence_timeout, [this] { stream_->close(); });
  error_code error;
  co_await stream_->write(request, error);
  // A server may refuse a long body in the middle and close: its answer is there to read.
  const bool reusable = co_await read_answer(sink) && !error;
  end_watch();
  co_return reusable;
}

asio::awaitable<bool> ClientConnection::read_answer(ResponseSink& sink) {
  Answer answer(sink);
  while (!answer.parser->is_done()) {
    if (!co_await read_more(answer)) break;
    answer.when = std::chrono::steady_clock::now();
    last_byte_ = answer.when;
    parse(answer);
    while (answer.is_interim()) {
      answer.restart();
      parse(answer);
    }
  }
  answer.give_head();
  co_return answer.parser->keep_alive() && filled_ == 0;
}

// False at an end of the connection that is the answer's own.
asio::awaitable<bool> ClientConnection::read_more(Answer& answer) {
  if (filled_ == buffer_.size()) buffer_.resize(std::max(kReadBytes, 2 * buffer_.size()));
  if (buffer_.size() > 4 * kMaxHeadBytes) {
    fail_with(FailureKind::kProtocol, "the answer's HTTP head is too long");
  }
  error_code error;
  const size_t got =
      co_await stream_->read_some({buffer_.data() + filled_, buffer_.size() - filled_}, error);
  if (!error) {
    filled_ += got;
    answered_ = true;
    co_return true;
  }
  const bool head_there = answer.parser->is_header_done();
  error_code unfinished;
  if (answer.parser->got_some()) answer.parser->put_eof(unfinished);
  const bool by_us = cancelled_ || timed_out_;
  if (!by_us && head_there && !unfinished && answer.parser->is_done()) co_return false;
  fail_with(FailureKind::kTruncated,
            fmt::format("the connection ended {} ({})",
                        head_there ? "in the middle of the answer" : "before an answer came",
                        error.message()));
}

// Gives the parser all that it can take. The sink may throw.
void ClientConnection::parse(Answer& answer) {
  size_t begin = 0;
  while (begin < filled_ && !answer.parser->is_done()) {
    error_code error;
    const size_t used =
        answer.parser->put(asio::const_buffer(buffer_.data() + begin, filled_ - begin), error);
    begin += used;
    if (error == http::error::need_more || (!error && used == 0)) break;
    if (error) {
      fail_with(FailureKind::kProtocol,
                fmt::format("the answer is not HTTP/1.1: {}", error.message()));
    }
  }
  std::copy(buffer_.begin() + static_cast<long>(begin),
            buffer_.begin() + static_cast<long>(filled_), buffer_.begin());
  filled_ -= begin;
}

// ---------------------------------------------------------------------------- silence

void ClientConnection::begin_watch(std::chrono::milliseconds limit,
                                   std::function<void()> on_silence) {
  if (cancelled_) throw_ended();
  last_byte_ = std::chrono::steady_clock::now();
  limit_ = limit;
  timed_out_ = false;
  on_silence_ = std::move(on_silence);
  arm_watch();
}

// One wait an exchange: it is set again when it fires, not at every byte.
void ClientConnection::arm_watch() {
  watch_.expires_at(last_byte_ + limit_);
  watch_.async_wait([this, alive = alive_](const error_code& error) {
    if (error || !*alive || !on_silence_) return;
    if (std::chrono::steady_clock::now() < last_byte_ + limit_) return arm_watch();
    timed_out_ = true;
    on_silence_();
  });
}

void ClientConnection::end_watch() {
  on_silence_ = nullptr;
  watch_.cancel();
  if (cancelled_ || timed_out_) throw_ended();
}

void ClientConnection::cancel() {
  cancelled_ = true;
  if (on_silence_) on_silence_();
}

void ClientConnection::throw_ended() {
  if (cancelled_) throw RequestFailed(FailureKind::kCancelled, "cancelled");
  throw RequestFailed(
      FailureKind::kTimeout,
      fmt::format("no byte came for {:.0f} s", std::chrono::duration<double>(limit_).count()));
}

void ClientConnection::fail_with(FailureKind kind, const std::string& message) {
  if (cancelled_ || timed_out_) throw_ended();
  throw RequestFailed(kind, message);
}

}  // namespace glmoe::serve
