// What is behind ResponseStream; LLM makes it.
#pragma once

#include <memory>

#include "glmoe/llm.h"
#include "llm/engine.h"

namespace glmoe {

struct ResponseStream::Impl {
  std::weak_ptr<Engine> engine;  // a stream may outlive its LLM, but does not keep the model
  std::shared_ptr<RequestState> state;
};

}  // namespace glmoe
