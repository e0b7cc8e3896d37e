// What a client sends, read ahead of who consumes it. A read is always pending (until `capacity`
// bytes wait here), so that the end of the connection is seen while an answer is computed.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "serve/http/async_event.h"
#include "serve/http/transport.h"

namespace glmoe::serve {

class InputStream {
 public:
  InputStream(Transport& transport, size_t capacity);

  // `owner` is kept alive while a read is pending. `on_end` is called once, when the client has
  // closed its side or the connection has failed.
  void start(std::shared_ptr<void> owner, std::function<void()> on_end);

  std::string_view data() const { return std::string_view(buffer_).substr(begin_); }
  void consume(size_t num_bytes);
  bool full() const { return data().size() >= capacity_; }
  bool ended() const { return ended_; }

  // Waits for more than there was: true when there may be, or at the end; false at the deadline.
  boost::asio::awaitable<bool> wait_until(TimePoint deadline);

 private:
  void read();
  void on_read(const boost::system::error_code& error, size_t num_bytes);

  Transport& transport_;
  size_t capacity_;
  AsyncEvent arrived_;
  std::weak_ptr<void> owner_;
  std::function<void()> on_end_;
  std::array<char, 8192> chunk_;
  std::string buffer_;
  size_t begin_ = 0;
  bool reading_ = false;
  bool ended_ = false;
};

}  // namespace glmoe::serve
