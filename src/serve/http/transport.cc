#include "serve/http/transport.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <filesystem>
#include <utility>

#include "base/error.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// Unsent bytes that the kernel takes beyond what is on its way: the rest waits here, where it is
// counted.
constexpr int kKernelUnsentBytes = 128 << 10;

void set_options(Transport::Socket& socket) {
  const int on = 1;
  const int fd = socket.native_handle();
  // Both fail on a Unix socket, which needs neither.
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kKernelUnsentBytes,
                     sizeof(kKernelUnsentBytes));
  error_code ignored;
  socket.non_blocking(true, ignored);  // for try_write
}

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {}

  void read_some(std::span<char> into, Done done) override {
    socket_.async_read_some(asio::buffer(into.data(), into.size()), std::move(done));
  }
  void write_some(std::span<const char> bytes, Done done) override {
    socket_.async_write_some(asio::buffer(bytes.data(), bytes.size()), std::move(done));
  }
  size_t try_write(std::span<const char> bytes, error_code& error) override {
    const size_t taken = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), error);
    if (error == asio::error::would_block || error == asio::error::try_again) error = {};
    return taken;
  }
  void handshake(Done done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done({}, 0); });
  }
  void shutdown_send(std::shared_ptr<void>) override {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }
  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }
  asio::any_io_executor strand() override { return socket_.get_executor(); }

 private:
  Socket socket_;
};

class TlsTransport final : public Transport {
 public:
  TlsTransport(Socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}

  void read_some(std::span<char> into, Done done) override {
    stream_.async_read_some(asio::buffer(into.data(), into.size()), std::move(done));
  }
  void write_some(std::span<const char> bytes, Done done) override {
    stream_.async_write_some(asio::buffer(bytes.data(), bytes.size()), std::move(done));
  }
  // A record that is only half sent has to be finished by the same call: left to write_some().
  size_t try_write(std::span<const char>, error_code&) override { return 0; }
  void handshake(Done done) override {
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [done = std::move(done)](error_code error) { done(error, 0); });
  }
  // The other side's own farewell is read, or not waited for: close() ends it.
  void shutdown_send(std::shared_ptr<void> keeper) override {
    stream_.async_shutdown([keeper = std::move(keeper)](error_code) {});
  }
  void close() override {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }
  asio::any_io_executor strand() override { return stream_.get_executor(); }

 private:
  asio::ssl::stream<Socket> stream_;
};

void check_readable(const std::string& flag, const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    fail(ErrorCode::kNotFound, "{} {}: there is no such file", flag, path);
  }
}

}  // namespace

struct TlsContext::Impl {
  asio::ssl::context context{asio::ssl::context::tls_server};
};

TlsContext::TlsContext(const std::string& certificate_file, const std::string& key_file)
    : impl_(std::make_unique<Impl>()) {
  check_readable("--ssl_certfile", certificate_file);
  check_readable("--ssl_keyfile", key_file);
  asio::ssl::context& context = impl_->context;
  context.set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 |
                      asio::ssl::context::no_compression);
  // Renegotiation costs the server more than the client.
  SSL_CTX_set_options(context.native_handle(), SSL_OP_NO_RENEGOTIATION);
  context.set_password_callback(
      [](size_t, asio::ssl::context::password_purpose) { return std::string(); });
  error_code error;
  context.use_certificate_chain_file(certificate_file, error);
  if (error) {
    fail_argument("--ssl_certfile {}: a certificate chain in PEM form was wanted: {}",
                  certificate_file, error.message());
  }
  context.use_private_key_file(key_file, asio::ssl::context::pem, error);
  if (error) {
    fail_argument(
        "--ssl_keyfile {}: the certificate's private key in PEM form, without a "
        "password, was wanted: {}",
        key_file, error.message());
  }
}

TlsContext::~TlsContext() = default;

std::unique_ptr<Transport> make_transport(Transport::Socket socket, TlsContext* tls) {
  set_options(socket);
  if (tls == nullptr) return std::make_unique<PlainTransport>(std::move(socket));
  return std::make_unique<TlsTransport>(std::move(socket), tls->impl_->context);
}

}  // namespace glmoe::serve
