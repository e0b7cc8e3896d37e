#include "serve/engine_streams.h"

#include <boost/asio/post.hpp>
#include <mutex>
#include <utility>

namespace glmoe::serve {

struct EngineStreams::Shared : std::enable_shared_from_this<Shared> {
  explicit Shared(const boost::asio::any_io_executor& executor)
      : strand(executor), arrived(executor) {}

  // From the engine's thread. One message a batch of deltas, however many streams have some.
  void raise(size_t which) {
    {
      const std::lock_guard lock(mutex);
      ready.push_back(which);
      if (std::exchange(posted, true)) return;
    }
    boost::asio::post(strand, [self = shared_from_this()] { self->arrived.set(); });
  }
  std::vector<size_t> take() {
    const std::lock_guard lock(mutex);
    posted = false;
    return std::exchange(ready, {});
  }

  boost::asio::any_io_executor strand;
  AsyncEvent arrived;  // on the strand
  std::mutex mutex;
  std::vector<size_t> ready;
  bool posted = false;
};

EngineStreams::EngineStreams(const boost::asio::any_io_executor& strand)
    : shared_(std::make_shared<Shared>(strand)) {}

EngineStreams::~EngineStreams() = default;

void EngineStreams::add(ResponseStream stream) {
  const size_t which = streams_.size();
  streams_.push_back(std::move(stream));
  streams_.back().notify([shared = shared_, which] { shared->raise(which); });
}

bool EngineStreams::try_next(size_t& which, OutputDelta& delta) {
  if (ready_.empty()) ready_ = shared_->take();
  while (!ready_.empty()) {
    which = ready_.back();
    if (streams_[which].try_next(delta)) {
      if (delta.request_finished) {
        ++num_done_;
        ready_.pop_back();
      }
      return true;
    }
    ready_.pop_back();
  }
  return false;
}

boost::asio::awaitable<bool> EngineStreams::wait_until(TimePoint deadline) {
  co_return co_await shared_->arrived.wait_until(deadline);
}

void EngineStreams::wake() { shared_->arrived.set(); }

void EngineStreams::cancel() {
  for (ResponseStream& stream : streams_) stream.cancel();
}

}  // namespace glmoe::serve
