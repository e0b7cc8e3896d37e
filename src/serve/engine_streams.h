// The deltas of one call's engine requests: the one place where the engine's thread meets the
// server's loops.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "glmoe/llm.h"

namespace glmoe::serve {

class ReadyQueue;

// Used on one connection's loop. Destroying it cancels what still runs.
class EngineStreams {
 public:
  // `on_ready` is called on the loop, never from within a call of this, when deltas may be there.
  // It may not destroy this, and must not throw.
  EngineStreams(const boost::asio::any_io_executor& loop, std::function<void()> on_ready);
  ~EngineStreams();
  EngineStreams(const EngineStreams&) = delete;
  EngineStreams& operator=(const EngineStreams&) = delete;

  void add(ResponseStream stream);
  size_t size() const { return streams_.size(); }
  const ResponseStream& stream(size_t which) const { return streams_[which]; }
  bool done() const { return num_done_ == streams_.size(); }

  // The next delta there is, and of which request, without waiting.
  bool try_next(size_t& which, OutputDelta& delta);
  void cancel();  // their last deltas still come

 private:
  struct Shared;  // what outlives this in queues
  std::vector<ResponseStream> streams_;
  size_t num_done_ = 0;
  std::shared_ptr<Shared> shared_;
  ReadyQueue& queue_;
};

}  // namespace glmoe::serve
