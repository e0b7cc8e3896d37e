#include "serve/ready_queue.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace glmoe::serve {
namespace asio = boost::asio;

ReadyQueue::ReadyQueue(asio::execution_context& loop) : service(loop) {}

void ReadyQueue::shutdown() {
  std::vector<Entry> dropped;  // may end with the last owner of something: not under the lock
  const std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(raised_);
}

void ReadyQueue::raise(std::shared_ptr<ReadyTarget> target, size_t which) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    raised_.emplace_back(std::move(target), which);
    if (std::exchange(posted_, true)) return;
  }
  asio::post(static_cast<asio::io_context&>(context()), [this] { drain(); });
}

void ReadyQueue::drain() {
  {
    const std::lock_guard lock(mutex_);
    posted_ = false;
    taken_.swap(raised_);
  }
  // First all streams of a call, then the call: what they bring leaves in one piece.
  for (const auto& [target, which] : taken_) {
    target->add_ready(which);
    if (targets_.empty() || targets_.back() != target.get()) targets_.push_back(target.get());
  }
  for (ReadyTarget* target : targets_) target->serve_ready();  // for nothing where it was served
  targets_.clear();
  taken_.clear();
}

}  // namespace glmoe::serve
