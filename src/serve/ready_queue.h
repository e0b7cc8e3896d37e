// Streams that have something new, on their way from the engine's thread to one loop of the
// server: however many streams a step has given tokens, the loop is woken once, and serves them
// all before it looks at anything else.
#pragma once

#include <boost/asio/execution_context.hpp>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace glmoe::serve {

// Whoever wants to hear of streams: told on the loop, once for all that came together.
class ReadyTarget {
 public:
  virtual ~ReadyTarget() = default;
  virtual void add_ready(size_t which) = 0;  // stream number `which`
  virtual void serve_ready() = 0;            // must not throw
};

// One a loop: boost::asio::use_service<ReadyQueue>(loop). The loop is run by one thread.
class ReadyQueue final : public boost::asio::execution_context::service {
 public:
  using key_type = ReadyQueue;
  static inline boost::asio::execution_context::id id;

  explicit ReadyQueue(boost::asio::execution_context& loop);

  // From any thread; quick.
  void raise(std::shared_ptr<ReadyTarget> target, size_t which);

 private:
  using Entry = std::pair<std::shared_ptr<ReadyTarget>, size_t>;

  void shutdown() override;
  void drain();  // on the loop

  std::mutex mutex_;
  std::vector<Entry> raised_;
  bool posted_ = false, closed_ = false;
  std::vector<Entry> taken_;           // on the loop alone
  std::vector<ReadyTarget*> targets_;  // likewise
};

}  // namespace glmoe::serve
