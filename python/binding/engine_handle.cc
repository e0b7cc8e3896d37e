#include "python/binding/engine_handle.h"

#include <nanobind/nanobind.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "glmoe/error.h"

namespace glmoe::python {

Owner::Owner() : pid_(::getpid()) {}

bool Owner::is_other_process() const { return ::getpid() != pid_; }

void Owner::check(const char* what) const {
  if (!is_other_process()) return;
  throw Error(ErrorCode::kUnavailable,
              std::string(what) + " was made by process " + std::to_string(pid_) +
                  " and cannot be used in process " + std::to_string(::getpid()) +
                  ", which was forked from it: make the LLM after the fork, or start processes "
                  "with the method 'spawn'");
}

EngineHandle::EngineHandle(LlmOptions options) : llm_(std::make_shared<LLM>(std::move(options))) {}

EngineHandle::~EngineHandle() {
  // The engine's threads may be in a Python function, which ends before they do.
  if (PyGILState_Check() == 0) {
    shutdown();
    return;
  }
  nanobind::gil_scoped_release release;
  shutdown();
}

std::shared_ptr<LLM> EngineHandle::get() const {
  owner_.check("this LLM");
  std::lock_guard lock(mutex_);
  if (!llm_) throw Error(ErrorCode::kUnavailable, "this LLM has been shut down: make another one");
  return llm_;
}

void EngineHandle::shutdown() {
  if (owner_.is_other_process()) {
    // Nothing is run for it: its locks may be held by threads that are not here.
    new std::shared_ptr<LLM>(std::move(llm_));
    return;
  }
  std::shared_ptr<LLM> last;
  {
    std::lock_guard lock(mutex_);
    last.swap(llm_);
  }
}

bool EngineHandle::is_shut_down() const {
  std::lock_guard lock(mutex_);
  return llm_ == nullptr;
}

}  // namespace glmoe::python
