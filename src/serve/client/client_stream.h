// The client's end of one connection: TCP, or TLS over it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace glmoe::serve {

class ClientStream {
 public:
  using Tcp = boost::asio::ip::tcp;

  virtual ~ClientStream() = default;
  // Both set `error` instead of throwing. What is in work ends with an error once it is closed.
  virtual boost::asio::awaitable<size_t> read_some(std::span<char> into,
                                                   boost::system::error_code& error) = 0;
  virtual boost::asio::awaitable<void> write(std::string_view bytes,
                                             boost::system::error_code& error) = 0;
  virtual boost::asio::awaitable<void> handshake(boost::system::error_code& error) = 0;
  virtual Tcp::socket& socket() = 0;
  void close();
};

// `tls` null: plain; else it outlives the stream, and the certificate has to be `host`'s.
std::unique_ptr<ClientStream> make_client_stream(ClientStream::Tcp::socket socket,
                                                 boost::asio::ssl::context* tls,
                                                 const std::string& host);

}  // namespace glmoe::serve
