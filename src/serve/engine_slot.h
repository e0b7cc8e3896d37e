// The place of the engine in a server that listens before its model is loaded.
#pragma once

#include <atomic>
#include <string_view>

#include "glmoe/llm.h"
#include "serve/api/api_call.h"

namespace glmoe::serve {

enum class Phase {
  kLoading,    // no engine yet
  kWarmingUp,  // it has yet to generate its first token
  kReady,
  kDraining,  // takes no new generations
  kFailed     // a device is lost: a restart is needed
};
std::string_view phase_name(Phase phase);  // "loading", "warming_up", ...

class EngineSlot {
 public:
  // Once. `llm` and what `context` points to outlive the server's last request.
  void set(LLM& llm, ApiContext context);
  // Never goes back from kFailed, nor from kDraining to an earlier one.
  void set_phase(Phase phase);
  Phase phase() const { return phase_.load(); }

  // Throw ApiError 503 with Retry-After where there is no engine yet, or no longer a working one.
  LLM& llm() const;
  const ApiContext& context() const;
  // Null where there is none.
  LLM* llm_or_null() const { return llm_.load(); }

 private:
  std::atomic<Phase> phase_{Phase::kLoading};
  std::atomic<LLM*> llm_{nullptr};
  ApiContext context_;
};

}  // namespace glmoe::serve
