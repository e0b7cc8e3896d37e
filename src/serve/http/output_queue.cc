#include "serve/http/output_queue.h"

#include <span>
#include <utility>

namespace glmoe::serve {

OutputQueue::OutputQueue(Transport& transport, std::chrono::milliseconds write_timeout)
    : transport_(transport),
      write_timeout_(write_timeout),
      empty_(transport.strand()),
      watchdog_(transport.strand()) {}

void OutputQueue::start(std::weak_ptr<void> owner, std::function<void()> on_failure) {
  owner_ = std::move(owner);
  on_failure_ = std::move(on_failure);
}

void OutputQueue::append(std::string_view bytes) {
  if (!failed_) pending_.append(bytes);
}

void OutputQueue::append(std::string&& bytes) {
  if (failed_) return;
  if (pending_.empty()) {
    pending_ = std::move(bytes);
  } else {
    pending_.append(bytes);
  }
}

void OutputQueue::flush() {
  if (in_flight_ || failed_ || pending_.empty()) return;
  writing_.clear();
  writing_.swap(pending_);
  written_ = 0;
  // Nearly always the system takes all at once, and neither a callback nor a deadline is needed.
  boost::system::error_code error;
  written_ = transport_.try_write(writing_, error);
  if (error) {
    fail();
  } else if (written_ < writing_.size()) {
    write();
  } else {
    writing_.clear();
    written_ = 0;
  }
}

void OutputQueue::write() {
  std::shared_ptr<void> owner = owner_.lock();
  if (!owner) return;
  in_flight_ = true;
  progress_deadline_ = std::chrono::steady_clock::now() + write_timeout_;
  if (!watching_) watch(owner);
  const std::span<const char> rest(writing_.data() + written_, writing_.size() - written_);
  transport_.write_some(
      rest, [this, owner = std::move(owner)](const boost::system::error_code& error,
                                             size_t num_bytes) { on_written(error, num_bytes); });
}

// One timer for many writes: it looks at the deadline when it fires, and waits on if there was
// progress in between.
void OutputQueue::watch(const std::shared_ptr<void>& owner) {
  watching_ = true;
  watchdog_.expires_at(progress_deadline_);
  // Weak: the watchdog alone must not keep a finished connection.
  watchdog_.async_wait([this, weak = std::weak_ptr<void>(owner)](boost::system::error_code error) {
    const std::shared_ptr<void> alive = weak.lock();
    if (!alive) return;
    watching_ = false;
    if (error || !in_flight_) return;
    if (std::chrono::steady_clock::now() < progress_deadline_) {
      watch(alive);
      return;
    }
    stalled_ = true;
    fail();
  });
}

void OutputQueue::on_written(const boost::system::error_code& error, size_t num_bytes) {
  in_flight_ = false;
  if (error) {
    fail();
    return;
  }
  written_ += num_bytes;
  if (failed_) return;
  if (written_ < writing_.size()) {
    write();
    return;
  }
  writing_.clear();
  written_ = 0;
  if (pending_.empty()) {
    empty_.set();
  } else {
    flush();
  }
}

void OutputQueue::fail() {
  if (failed_) return;
  failed_ = true;
  pending_.clear();  // writing_ may still be read by the system
  watchdog_.cancel();
  transport_.close();
  empty_.set();
  if (on_failure_) std::exchange(on_failure_, nullptr)();
}

boost::asio::awaitable<void> OutputQueue::drained() {
  flush();
  while (!failed_ && (in_flight_ || !pending_.empty())) {
    co_await empty_.wait_until(TimePoint::max());
  }
}

}  // namespace glmoe::serve
