// A client of raw bytes, so that tests can say what no HTTP library would.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace glmoe::serve {

struct RawResponse {
  int status = 0;                              // 0: the connection ended before a whole answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // de-chunked
  bool complete = false;                       // its end came as its headers said
};

class RawClient {
 public:
  // `receive_buffer`: of the socket, where a slow reader is wanted.
  explicit RawClient(uint16_t port, int receive_buffer = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  explicit RawClient(const std::string& unix_path) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, unix_path.c_str(), sizeof(address.sun_path) - 1);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        connected_(other.connected_),
        buffer_(std::move(other.buffer_)) {}
  ~RawClient() { close(); }

  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  // Closes so that the other side sees a reset.
  void reset() {
    const linger hard{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close();
  }
  void shutdown_send() { ::shutdown(fd_, SHUT_WR); }

  // False where the other side no longer takes it.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // Reads once; false at the end, an error, or after `timeout_ms`.
  bool receive(int timeout_ms = 5000) {
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, timeout_ms) <= 0) return false;
    char chunk[16384];
    const ssize_t got = ::recv(fd_, chunk, sizeof(chunk), 0);
    if (got <= 0) {
      ended_ = true;
      return false;
    }
    buffer_.append(chunk, static_cast<size_t>(got));
    return true;
  }
  // Everything until the other side closes; ended() tells whether it did.
  std::string read_to_end(int timeout_ms = 5000) {
    while (receive(timeout_ms)) {
    }
    return std::exchange(buffer_, {});
  }
  bool read_until(std::string_view text, int timeout_ms = 5000) {
    while (buffer_.find(text) == std::string::npos) {
      if (!receive(timeout_ms)) return false;
    }
    return true;
  }
  bool ended() const { return ended_; }
  std::string& buffer() { return buffer_; }

  RawResponse read_response(bool head_only = false, int timeout_ms = 5000) {
    RawResponse response;
    if (!read_until("\r\n\r\n", timeout_ms)) return response;
    const size_t end = buffer_.find("\r\n\r\n") + 4;
    parse_head(buffer_.substr(0, end), response);
    buffer_.erase(0, end);
    if (head_only || response.status == 204 || response.status == 100) {
      response.complete = true;
    } else if (response.headers.count("transfer-encoding") > 0) {
      read_chunks(response, timeout_ms);
    } else if (response.headers.count("content-length") > 0) {
      const size_t length = std::stoul(response.headers["content-length"]);
      while (buffer_.size() < length && receive(timeout_ms)) {
      }
      response.complete = buffer_.size() >= length;
      response.body = buffer_.substr(0, length);
      buffer_.erase(0, length);
    } else {
      response.body = read_to_end(timeout_ms);
      response.complete = ended_;
    }
    return response;
  }

 private:
  static void parse_head(const std::string& head, RawResponse& response) {
    response.status = std::stoi(head.substr(9, 3));
    size_t begin = head.find("\r\n") + 2;
    while (begin < head.size() - 2) {
      const size_t end = head.find("\r\n", begin);
      const std::string line = head.substr(begin, end - begin);
      std::string name = line.substr(0, line.find(':'));
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      response.headers[name] = line.substr(line.find(':') + 2);
      begin = end + 2;
    }
  }
  void read_chunks(RawResponse& response, int timeout_ms) {
    for (;;) {
      if (!read_until("\r\n", timeout_ms)) return;
      const size_t size = std::stoul(buffer_, nullptr, 16);
      buffer_.erase(0, buffer_.find("\r\n") + 2);
      while (buffer_.size() < size + 2) {
        if (!receive(timeout_ms)) return;
      }
      response.body += buffer_.substr(0, size);
      buffer_.erase(0, size + 2);
      if (size == 0) {
        response.complete = true;
        return;
      }
    }
  }

  int fd_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string buffer_;
};

inline std::string get(std::string_view path, std::string_view headers = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(headers) + "\r\n";
}

inline std::string post(std::string_view path, std::string_view body,
                        std::string_view headers = "") {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(headers) + "\r\n" + std::string(body);
}

}  // namespace glmoe::serve
