#include "serve/engine_slot.h"

#include <utility>

#include "serve/api/api_error.h"

namespace glmoe::serve {

std::string_view phase_name(Phase phase) {
  switch (phase) {
    case Phase::kLoading: return "loading";
    case Phase::kWarmingUp: return "warming_up";
    case Phase::kReady: return "ready";
    case Phase::kDraining: return "draining";
    case Phase::kFailed: return "failed";
  }
  return "";
}

void EngineSlot::set(LLM& llm, ApiContext context) {
  context_ = std::move(context);
  llm_.store(&llm);
  set_phase(Phase::kWarmingUp);
}

void EngineSlot::set_phase(Phase phase) {
  Phase now = phase_.load();
  while (now < phase && !phase_.compare_exchange_weak(now, phase)) {
  }
}

LLM& EngineSlot::llm() const {
  const Phase now = phase();
  LLM* const llm = llm_.load();
  // A server that is told to drain while it loads has none.
  if (llm != nullptr && (now == Phase::kReady || now == Phase::kDraining)) return *llm;
  HttpError error{.status = 503, .code = "not_ready", .retry_after_s = 5};
  error.message = now == Phase::kFailed ? "the engine has failed and has to be restarted"
                                        : "the model is being loaded: try again in a while";
  if (now == Phase::kFailed) error.code = "engine_failed";
  throw ApiError(std::move(error));
}

const ApiContext& EngineSlot::context() const {
  llm();
  return context_;
}

}  // namespace glmoe::serve
