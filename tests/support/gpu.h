// For tests that need a GPU: left out, with the reason, where there is none for the engine.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "glmoe/llm.h"
#include "gpu/gpu_backend.h"
#include "support/demo_cases.h"

namespace glmoe::testing {

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = GpuBackend::why_not();
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
};

inline LlmOptions demo_options(const std::string& backend, const std::string& dtype = "bfloat16") {
  LlmOptions options;
  options.model = demo_folder();
  options.backend = backend;
  options.dtype = dtype;
  options.kv_cache.max_tokens = 32768;
  return options;
}

// The demo cases' prompts and answers one after the other, from the first on again as needed.
inline std::vector<int32_t> demo_text(int64_t length) {
  const std::vector<DemoCase> cases = demo_cases();
  std::vector<int32_t> text;
  while (static_cast<int64_t>(text.size()) < length) {
    for (const DemoCase& demo : cases) {
      text.insert(text.end(), demo.prompt_ids.begin(), demo.prompt_ids.end());
      text.insert(text.end(), demo.greedy_ids.begin(), demo.greedy_ids.end());
    }
  }
  text.resize(static_cast<size_t>(length));
  return text;
}

// Judges two greedy answers to one prompt where arithmetic differs in its rounding: equal, or equal
// up to a token at which both choices were as good as each other. That is: in float32 their logits
// are no further apart than the CPU's bfloat16 moves logits of that row.
class TieJudge {
 public:
  TieJudge() : exact_(demo_options("cpu", "float32")), rounded_(demo_options("cpu")) {}

  ::testing::AssertionResult same_or_tied(const std::vector<int32_t>& prompt,
                                          const std::vector<int32_t>& found,
                                          const std::vector<int32_t>& wanted) {
    const size_t shorter = std::min(found.size(), wanted.size());
    const auto place =
        std::mismatch(found.begin(), found.begin() + static_cast<int64_t>(shorter), wanted.begin());
    const auto at = static_cast<size_t>(place.first - found.begin());
    if (at == shorter) {
      if (found.size() == wanted.size()) return ::testing::AssertionSuccess();
      return ::testing::AssertionFailure()
             << "ends after " << found.size() << " tokens, wanted " << wanted.size();
    }
    std::vector<int32_t> context = prompt;
    context.insert(context.end(), found.begin(), place.first);
    const std::vector<float> exact = last_row(exact_, context);
    const std::vector<float> rounded = last_row(rounded_, context);
    float moved = 0.0f;
    for (size_t i = 0; i < exact.size(); ++i) {
      moved = std::max(moved, std::abs(rounded[i] - exact[i]));
    }
    const float apart =
        std::abs(exact[static_cast<size_t>(found[at])] - exact[static_cast<size_t>(wanted[at])]);
    if (apart <= moved) {
      ++num_ties;
      return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure()
           << "token " << at << " is " << found[at] << ", wanted " << wanted[at]
           << ": their logits are " << apart << " apart, and rounding moves them by " << moved;
  }

  int num_ties = 0;

 private:
  static std::vector<float> last_row(LLM& llm, const std::vector<int32_t>& context) {
    const std::vector<float> all = llm.logits({context})[0];
    return {all.end() - llm.config().vocab_size, all.end()};
  }

  LLM exact_, rounded_;
};

}  // namespace glmoe::testing
