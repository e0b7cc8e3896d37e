#include "serve/http/listener.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "serve/http/connection.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
using boost::system::error_code;

// So many refused connections may be told why at a time; further ones are closed without a word.
constexpr int64_t kMaxRefusing = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};

tcp::endpoint resolve(const IoLoops::Executor& loop, const std::string& host, uint16_t port) {
  error_code error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (!error) return {address, port};
  tcp::resolver resolver(loop);
  const auto found =
      resolver.resolve(host, std::to_string(port), tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    fail_argument("--host '{}': an address of this machine was wanted, such as 127.0.0.1 or ::",
                  host);
  }
  return found.begin()->endpoint();
}

}  // namespace

struct Listener::Impl : std::enable_shared_from_this<Impl> {
  Impl(IoLoops& io_loops, HttpService& http_service, TlsContext* tls_context)
      : loops(io_loops),
        service(http_service),
        tls(tls_context),
        strand(io_loops.main()),
        tcp_acceptor(strand),
        local_acceptor(strand),
        pause(strand) {}

  void bind_tcp(const Address& address);
  void bind_local(const std::string& path);
  template <class Acceptor>
  void accept(Acceptor& acceptor);
  template <class Socket>
  void take(Socket socket, IoLoops::Place place, const std::string& peer);
  void forget(const Connection* connection, const std::string& peer, bool refusing);
  void stop_accepting();

  IoLoops& loops;
  HttpService& service;
  TlsContext* tls;
  IoLoops::Executor strand;  // of what accepts
  asio::basic_socket_acceptor<tcp> tcp_acceptor;
  asio::basic_socket_acceptor<Local> local_acceptor;
  asio::steady_timer pause;
  std::string uds_path;

  std::mutex mutex;
  std::unordered_map<const Connection*, std::weak_ptr<Connection>> connections;
  std::unordered_map<std::string, int64_t> by_address;
  int64_t num_refusing = 0;
};

void Listener::Impl::bind_tcp(const Address& address) {
  const tcp::endpoint endpoint = resolve(strand, address.host, address.port);
  const auto check = [&](const error_code& error, const char* what) {
    if (!error) return;
    fail_io(error.value(), fmt::format("{}:{}: {} failed", address.host, address.port, what));
  };
  error_code error;
  tcp_acceptor.open(endpoint.protocol(), error);
  check(error, "opening a socket");
  tcp_acceptor.set_option(asio::socket_base::reuse_address(true), error);
  check(error, "setting SO_REUSEADDR");
  tcp_acceptor.bind(endpoint, error);
  check(error, "binding the port");
  tcp_acceptor.listen(asio::socket_base::max_listen_connections, error);
  check(error, "listening");
}

void Listener::Impl::bind_local(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) {
      fail_argument("--uds {}: something that is no socket is there already", path);
    }
    error_code error;
    Local::socket probe(strand);
    probe.connect(Local::endpoint(path), error);
    if (!error) fail(ErrorCode::kIo, "--uds {}: another process is listening there", path);
    ::unlink(path.c_str());  // left behind by a process that was killed
  }
  if (path.size() > 107) fail_argument("--uds {}: at most 107 bytes were wanted", path);
  error_code error;
  local_acceptor.open(Local(), error);
  if (!error) {
    const mode_t before = ::umask(0117);  // owner and group only
    local_acceptor.bind(Local::endpoint(path), error);
    ::umask(before);
  }
  if (!error) local_acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) fail_io(error.value(), fmt::format("--uds {}: listening failed", path));
  uds_path = path;
}

template <class Acceptor>
void Listener::Impl::accept(Acceptor& acceptor) {
  using Socket = typename Acceptor::protocol_type::socket;
  struct Newcomer {
    explicit Newcomer(IoLoops& all) : place(all), socket(place.executor()) {}
    IoLoops::Place place;
    Socket socket;
  };
  auto newcomer = std::make_shared<Newcomer>(loops);
  acceptor.async_accept(newcomer->socket, [self = this->shared_from_this(), &acceptor,
                                           newcomer](const error_code& error) {
    if (!acceptor.is_open()) return;
    if (error == asio::error::operation_aborted) return;
    if (error) {
      // Out of file descriptors or memory: others will end, so look again in a while.
      if (error != asio::error::connection_aborted) {
        log::warn("accepting a connection failed: {}", error.message());
      }
      self->pause.expires_after(kAcceptPause);
      self->pause.async_wait([self, &acceptor](const error_code& stopped) {
        if (!stopped && acceptor.is_open()) self->accept(acceptor);
      });
      return;
    }
    std::string peer = "unix";
    if constexpr (std::is_same_v<Socket, tcp::socket>) {
      error_code gone;
      peer = newcomer->socket.remote_endpoint(gone).address().to_string();
    }
    self->take(std::move(newcomer->socket), std::move(newcomer->place), peer);
    self->accept(acceptor);
  });
}

template <class Socket>
void Listener::Impl::take(Socket socket, IoLoops::Place place, const std::string& peer) {
  const HttpLimits& limits = service.limits;
  std::string refusal;
  std::shared_ptr<Connection> connection;
  {
    const std::lock_guard lock(mutex);
    if (service.num_connections.load() - num_refusing >= limits.max_connections) {
      refusal = "too_many_connections";
    } else if (limits.max_connections_per_address > 0 &&
               by_address[peer] >= limits.max_connections_per_address) {
      refusal = "too_many_connections_of_address";
    }
    if (!refusal.empty() && num_refusing >= kMaxRefusing) {
      if (service.on_rejected_connection) service.on_rejected_connection(refusal);
      return;  // closes
    }
    connection = std::make_shared<Connection>(
        make_transport(Transport::Socket(std::move(socket)), tls), service, peer);
    connections.emplace(connection.get(), connection);
    service.num_connections.fetch_add(1);
    if (refusal.empty()) {
      ++by_address[peer];
    } else {
      ++num_refusing;
    }
  }
  const bool refusing = !refusal.empty();
  // Held until the connection is over.
  auto kept_place = std::make_shared<IoLoops::Place>(std::move(place));
  auto done = [self = this->shared_from_this(), key = connection.get(), peer, refusing,
               kept_place = std::move(kept_place)] { self->forget(key, peer, refusing); };
  if (!refusing) {
    connection->start(std::move(done));
    return;
  }
  if (service.on_rejected_connection) service.on_rejected_connection(refusal);
  const std::string message =
      refusal == "too_many_connections"
          ? fmt::format("the server has {} connections, as many as it takes",
                        limits.max_connections)
          : fmt::format("this address has {} connections, as many as it may",
                        limits.max_connections_per_address);
  connection->start_refusing(refusal, message, std::move(done));
}

void Listener::Impl::forget(const Connection* connection, const std::string& peer, bool refusing) {
  const std::lock_guard lock(mutex);
  connections.erase(connection);
  service.num_connections.fetch_sub(1);
  if (refusing) {
    --num_refusing;
  } else if (const auto entry = by_address.find(peer);
             entry != by_address.end() && --entry->second == 0) {
    by_address.erase(entry);
  }
}

void Listener::Impl::stop_accepting() {
  error_code ignored;
  tcp_acceptor.close(ignored);
  local_acceptor.close(ignored);
  pause.cancel();
}

Listener::Listener(IoLoops& loops, const Address& address, HttpService& service, TlsContext* tls)
    : impl_(std::make_shared<Impl>(loops, service, tls)) {
  if (address.uds_path.empty()) {
    impl_->bind_tcp(address);
  } else {
    impl_->bind_local(address.uds_path);
  }
}

Listener::~Listener() {
  if (!impl_->uds_path.empty()) ::unlink(impl_->uds_path.c_str());
}

void Listener::start() {
  asio::post(impl_->strand, [impl = impl_] {
    if (impl->tcp_acceptor.is_open()) impl->accept(impl->tcp_acceptor);
    if (impl->local_acceptor.is_open()) impl->accept(impl->local_acceptor);
  });
}

void Listener::drain() {
  const std::lock_guard lock(impl_->mutex);
  for (const auto& [key, weak] : impl_->connections) {
    if (const auto connection = weak.lock()) connection->drain();
  }
}

void Listener::stop_accepting() {
  asio::post(impl_->strand, [impl = impl_] { impl->stop_accepting(); });
}

void Listener::abort_connections() {
  const std::lock_guard lock(impl_->mutex);
  for (const auto& [key, weak] : impl_->connections) {
    if (const auto connection = weak.lock()) connection->abort();
  }
}

std::string Listener::host() const {
  return impl_->tcp_acceptor.local_endpoint().address().to_string();
}

uint16_t Listener::port() const {
  return impl_->uds_path.empty() ? impl_->tcp_acceptor.local_endpoint().port() : 0;
}

std::string Listener::url() const {
  if (!impl_->uds_path.empty()) return "unix:" + impl_->uds_path;
  const tcp::endpoint endpoint = impl_->tcp_acceptor.local_endpoint();
  const std::string host = endpoint.address().to_string();
  return fmt::format("{}://{}:{}", impl_->tls != nullptr ? "https" : "http",
                     endpoint.address().is_v6() ? "[" + host + "]" : host, endpoint.port());
}

}  // namespace glmoe::serve
