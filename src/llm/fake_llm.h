// An LLM without a model: real tokenizer, template, scheduler, cache and engine loop on an executor
// that "generates" a hash of all tokens before, or a given reply, at a given pace. For tests and
// benches of what is built on the engine.
//
//   LLM llm = make_fake_llm({.folder = "models/glm4-moe-demo", .reply = "Hello!"});
#pragma once

#include <functional>
#include <string>

#include "glmoe/llm.h"
#include "step/step.h"

namespace glmoe {

struct FakeLlmOptions {
  std::string folder;  // with config.json, tokenizer.json and the template
  // Empty: tokens of plain text that depend on every token before, read back from a cache of the
  // same layout as the real one, so that each mistake in blocks or positions changes the text.
  // Otherwise every answer is this text and then the first end token.
  std::string reply;
  double step_ms = 0.0;   // a step takes this long, asleep
  double token_us = 0.0;  // and this long for each of its tokens
  LlmOptions llm = {};    // all but model, tokenizer, config, load_format and num_threads
  // Called on the runner's thread: before a step (what it throws makes the step fail) and at its
  // end, when its time is over, with results that may still be changed.
  std::function<void(const StepPlan&)> before_step;
  std::function<void(const StepPlan&, StepResult&)> after_step;
};

// Throws as LLM's constructor. Runs on any machine; kv_cache.max_tokens 0 takes 65536.
LLM make_fake_llm(FakeLlmOptions options);

}  // namespace glmoe
