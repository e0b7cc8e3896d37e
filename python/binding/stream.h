// One submitted request as Python holds it, and the descriptor that wakes an asyncio loop.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "glmoe/llm.h"
#include "python/binding/engine_handle.h"

namespace glmoe::python {

// Tells an event loop which streams have something to read: their keys are gathered and a
// descriptor becomes readable. The engine's thread needs no GIL for it.
class Waker {
 public:
  Waker();  // throws kIo
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  int fileno() const { return fd_; }
  void wake(uint64_t key);
  std::vector<uint64_t> take();  // since the last call

 private:
  int fd_;
  std::mutex mutex_;
  std::vector<uint64_t> ready_;
};

// Destroying it cancels the request if it still runs. One thread at a time.
class StreamHandle {
 public:
  explicit StreamHandle(ResponseStream stream) : stream_(std::move(stream)) {}
  ~StreamHandle();
  StreamHandle(StreamHandle&&) noexcept = default;

  ResponseStream& get();  // throws kUnavailable in a forked process
  // The next delta, which result() will hold too; false: none now.
  bool try_next(OutputDelta& delta);
  // Takes what has come, for result(); true once nothing more will.
  bool collect();
  // Only once collect() was true.
  RequestOutput result();

 private:
  RequestOutput gathered_;
  Owner owner_;
  std::optional<ResponseStream> stream_;
};

}  // namespace glmoe::python
