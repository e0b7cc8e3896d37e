// An LLM whose steps something else than a model runs: for tests and benches of everything around
// it. With load_format dummy no weights come into being.
#pragma once

#include <functional>
#include <memory>

#include "exec/executor.h"
#include "glmoe/llm.h"
#include "llm/resolved_config.h"
#include "text/tokenizer.h"

namespace glmoe {

// `tokenizer` may be null.
using ExecutorFactory = std::function<std::unique_ptr<Executor>(
    const Glm4MoeConfig& config, const ResolvedConfig& resolved,
    const std::shared_ptr<const Tokenizer>& tokenizer)>;

struct LlmFactory {
  // Throws as LLM's constructor.
  static LLM make(LlmOptions options, const ExecutorFactory& factory);
};

}  // namespace glmoe
