// What is to be sent to one client. Appended bytes leave at flush(); a client that takes nothing
// for `write_timeout` is cut off. Everything happens on the connection's strand.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "serve/http/async_event.h"
#include "serve/http/transport.h"

namespace glmoe::serve {

class OutputQueue {
 public:
  OutputQueue(Transport& transport, std::chrono::milliseconds write_timeout);

  // `owner` is kept alive while a write is pending. `on_failure` is called once, when the client
  // can no longer be reached.
  void start(std::weak_ptr<void> owner, std::function<void()> on_failure);

  void append(std::string_view bytes);
  void append(std::string&& bytes);
  void flush();
  // Appended and not yet taken by the system.
  size_t unsent() const { return pending_.size() + writing_.size() - written_; }
  bool failed() const { return failed_; }
  bool stalled() const { return stalled_; }  // failed because the client took nothing

  // Drops what was not sent and closes the transport.
  void fail();
  // Returns when all was sent, or failed.
  boost::asio::awaitable<void> drained();

 private:
  void write();
  void on_written(const boost::system::error_code& error, size_t num_bytes);
  void watch(const std::shared_ptr<void>& owner);

  Transport& transport_;
  std::chrono::milliseconds write_timeout_;
  AsyncEvent empty_;
  boost::asio::steady_timer watchdog_;
  std::weak_ptr<void> owner_;
  std::function<void()> on_failure_;
  std::string pending_, writing_;
  size_t written_ = 0;  // of writing_
  TimePoint progress_deadline_{};
  bool in_flight_ = false;
  bool watching_ = false;
  bool failed_ = false;
  bool stalled_ = false;
};

}  // namespace glmoe::serve
