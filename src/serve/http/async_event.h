// A flag that a coroutine can wait for, with a deadline. Everything happens on one strand.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace glmoe::serve {

using TimePoint = std::chrono::steady_clock::time_point;

class AsyncEvent {
 public:
  explicit AsyncEvent(const boost::asio::any_io_executor& strand) : timer_(strand) {}

  void set() {
    set_ = true;
    timer_.cancel();
  }

  // True once the event is set, which this takes back; false when the deadline has passed. One
  // coroutine waits at a time.
  boost::asio::awaitable<bool> wait_until(TimePoint deadline) {
    while (!set_) {
      if (std::chrono::steady_clock::now() >= deadline) co_return false;
      timer_.expires_at(deadline);
      boost::system::error_code ignored;
      co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    set_ = false;
    co_return true;
  }

 private:
  boost::asio::steady_timer timer_;
  bool set_ = false;
};

}  // namespace glmoe::serve
