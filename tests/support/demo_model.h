// A test suite on the demo model: loaded once for the suite, asked through the public API.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "glmoe/llm.h"
#include "support/golden.h"

namespace glmoe::testing {

inline LlmOptions demo_options() {
  LlmOptions options;
  options.model = demo_folder();
  options.num_threads = 2;
  options.kv_cache.max_tokens = 8192;
  return options;
}

class DemoModel : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { llm_ = new LLM(demo_options()); }
  static void TearDownTestSuite() {
    delete llm_;
    llm_ = nullptr;
  }

  static std::string ask(const std::string& question) {
    const std::string messages = Json::array({{{"role", "user"}, {"content", question}}}).dump();
    return llm_->render_chat(messages, {.enable_thinking = false});
  }
  static SamplingParams greedy(int64_t max_tokens = 64) {
    SamplingParams sampling;
    sampling.temperature = 0.0f;
    sampling.max_tokens = max_tokens;
    return sampling;
  }

  static inline LLM* llm_ = nullptr;
};

}  // namespace glmoe::testing
