// One accepted stream of bytes: TCP, a Unix socket, or TLS over TCP. Callbacks are called on the
// connection's strand (the loop that serves it), never from within the call that asked for them.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace glmoe::serve {

class Transport {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using Done = std::function<void(boost::system::error_code, size_t)>;

  virtual ~Transport() = default;
  // At most one read and one write at a time; the bytes stay where they are until the callback.
  virtual void read_some(std::span<char> into, Done done) = 0;
  virtual void write_some(std::span<const char> bytes, Done done) = 0;
  // What the system takes of `bytes` at once, perhaps nothing; not while a write is pending. An
  // error is set where the connection is over.
  virtual size_t try_write(std::span<const char> bytes, boost::system::error_code& error) = 0;
  virtual void handshake(Done done) = 0;  // plain transports are done at once
  // Says that nothing more will be sent; what was sent before still arrives. `keeper` owns this and
  // is kept until it is done.
  virtual void shutdown_send(std::shared_ptr<void> keeper) = 0;
  virtual void close() = 0;  // ends pending operations with an error; may be called twice
  virtual boost::asio::any_io_executor strand() = 0;
};

// The certificate and key of a TLS port.
class TlsContext {
 public:
  // PEM files. Throws kNotFound, kIo or kInvalidArgument naming the file, with OpenSSL's reason.
  TlsContext(const std::string& certificate_file, const std::string& key_file);
  ~TlsContext();

 private:
  friend std::unique_ptr<Transport> make_transport(Transport::Socket, TlsContext*);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// `socket` was made with the connection's strand. `tls` null: as it is; else it outlives the
// result.
std::unique_ptr<Transport> make_transport(Transport::Socket socket, TlsContext* tls);

}  // namespace glmoe::serve
