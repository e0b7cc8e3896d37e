// The deltas of one call's engine requests, for a coroutine: the one place where the engine's
// thread meets the server's strands.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <vector>

#include "glmoe/llm.h"
#include "serve/http/async_event.h"

namespace glmoe::serve {

// Used on one strand. Destroying it cancels what still runs.
class EngineStreams {
 public:
  explicit EngineStreams(const boost::asio::any_io_executor& strand);
  ~EngineStreams();
  EngineStreams(const EngineStreams&) = delete;
  EngineStreams& operator=(const EngineStreams&) = delete;

  void add(ResponseStream stream);
  size_t size() const { return streams_.size(); }
  const ResponseStream& stream(size_t which) const { return streams_[which]; }
  bool done() const { return num_done_ == streams_.size(); }

  // The next delta there is, and of which request, without waiting.
  bool try_next(size_t& which, OutputDelta& delta);
  // Waits for a delta, for wake(), or for the deadline (then false).
  boost::asio::awaitable<bool> wait_until(TimePoint deadline);
  void wake();
  void cancel();  // their last deltas still come

 private:
  struct Shared;  // what the engine's thread may touch
  std::vector<ResponseStream> streams_;
  std::vector<size_t> ready_;  // streams that may hold deltas; the last is looked at first
  size_t num_done_ = 0;
  std::shared_ptr<Shared> shared_;
};

}  // namespace glmoe::serve
