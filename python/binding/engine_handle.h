// What Python's LLM holds: the C++ LLM, until shutdown() or the process that made it ends.
#pragma once

#include <sys/types.h>

#include <memory>
#include <mutex>

#include "glmoe/llm.h"

namespace glmoe::python {

// A process made by fork() has none of the engine's threads. True there: then objects are refused
// and left alone instead of being destroyed, which would wait for those threads.
class Owner {
 public:
  Owner();
  bool is_other_process() const;
  void check(const char* what) const;  // throws kUnavailable in another process

 private:
  pid_t pid_;
};

// Thread-safe.
class EngineHandle {
 public:
  explicit EngineHandle(LlmOptions options);
  ~EngineHandle();  // as shutdown()
  EngineHandle(const EngineHandle&) = delete;
  EngineHandle& operator=(const EngineHandle&) = delete;

  // Throws kUnavailable after shutdown() and in a forked process.
  std::shared_ptr<LLM> get() const;
  // Cancels what still runs; waits for the step that runs. Once is enough.
  void shutdown();
  bool is_shut_down() const;

 private:
  Owner owner_;
  mutable std::mutex mutex_;
  std::shared_ptr<LLM> llm_;
};

}  // namespace glmoe::python
