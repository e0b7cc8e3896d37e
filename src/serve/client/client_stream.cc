#include "serve/client/client_stream.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

template <class Stream>
class StreamOver : public ClientStream {
 public:
  template <class... Args>
  explicit StreamOver(Args&&... args) : stream_(std::forward<Args>(args)...) {}

  asio::awaitable<size_t> read_some(std::span<char> into, error_code& error) override {
    return stream_.async_read_some(asio::buffer(into.data(), into.size()),
                                   asio::redirect_error(asio::use_awaitable, error));
  }
  asio::awaitable<void> write(std::string_view bytes, error_code& error) override {
    co_await asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()),
                               asio::redirect_error(asio::use_awaitable, error));
  }
  asio::awaitable<void> handshake(error_code&) override { co_return; }
  Tcp::socket& socket() override {
    if constexpr (std::is_same_v<Stream, Tcp::socket>) {
      return stream_;
    } else {
      return stream_.next_layer();
    }
  }

 protected:
  Stream stream_;
};

using TlsStream = asio::ssl::stream<ClientStream::Tcp::socket>;

class TlsClientStream final : public StreamOver<TlsStream> {
 public:
  TlsClientStream(Tcp::socket socket, asio::ssl::context& context, const std::string& host)
      : StreamOver(std::move(socket), context) {
    error_code no_address;
    (void)asio::ip::make_address(host, no_address);
    // An address is no name that a server could choose its certificate by.
    if (no_address) (void)SSL_set_tlsext_host_name(stream_.native_handle(), host.c_str());
    stream_.set_verify_callback(asio::ssl::host_name_verification(host));
  }
  asio::awaitable<void> handshake(error_code& error) override {
    co_await stream_.async_handshake(asio::ssl::stream_base::client,
                                     asio::redirect_error(asio::use_awaitable, error));
  }
};

}  // namespace

void ClientStream::close() {
  error_code ignored;
  socket().close(ignored);
}

std::unique_ptr<ClientStream> make_client_stream(ClientStream::Tcp::socket socket,
                                                 asio::ssl::context* tls, const std::string& host) {
  error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (tls == nullptr) {
    return std::make_unique<StreamOver<ClientStream::Tcp::socket>>(std::move(socket));
  }
  return std::make_unique<TlsClientStream>(std::move(socket), *tls, host);
}

}  // namespace glmoe::serve
