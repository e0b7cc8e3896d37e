#include "serve/http/input_stream.h"

#include <utility>

namespace glmoe::serve {

InputStream::InputStream(Transport& transport, size_t capacity)
    : transport_(transport), capacity_(capacity), arrived_(transport.strand()) {}

void InputStream::start(std::shared_ptr<void> owner, std::function<void()> on_end) {
  owner_ = owner;
  on_end_ = std::move(on_end);
  read();
}

void InputStream::consume(size_t num_bytes) {
  begin_ += num_bytes;
  if (begin_ == buffer_.size()) {
    buffer_.clear();
    begin_ = 0;
  } else if (begin_ > capacity_) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  read();
}

boost::asio::awaitable<bool> InputStream::wait_until(TimePoint deadline) {
  if (ended_) co_return true;
  co_return co_await arrived_.wait_until(deadline);
}

void InputStream::read() {
  if (reading_ || ended_ || full()) return;
  std::shared_ptr<void> owner = owner_.lock();
  if (!owner) return;
  reading_ = true;
  transport_.read_some(
      chunk_, [this, owner = std::move(owner)](const boost::system::error_code& error,
                                               size_t num_bytes) { on_read(error, num_bytes); });
}

void InputStream::on_read(const boost::system::error_code& error, size_t num_bytes) {
  reading_ = false;
  if (error) {
    ended_ = true;
    arrived_.set();
    if (on_end_) std::exchange(on_end_, nullptr)();
    return;
  }
  buffer_.append(chunk_.data(), num_bytes);
  arrived_.set();
  read();
}

}  // namespace glmoe::serve
