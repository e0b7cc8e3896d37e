// The recorded requests of the demo model with Hugging Face's answers (tests/data/demo_cases.json).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "glmoe/llm.h"
#include "support/golden.h"

namespace glmoe::testing {

struct DemoCase {
  std::string messages, tools, prompt, greedy_text;
  std::optional<bool> thinking;
  std::vector<int32_t> prompt_ids, greedy_ids;
};

// Key order matters to the template, so the requests keep it.
inline std::vector<DemoCase> demo_cases() {
  const std::string path = std::string(GLMOE_TEST_DATA) + "/demo_cases.json";
  std::vector<DemoCase> cases;
  for (const OrderedJson& entry : parse_ordered_json(read_text_file(path), path)) {
    const OrderedJson& request = entry["request"];
    DemoCase demo;
    demo.messages = request["messages"].dump();
    if (request.contains("tools")) demo.tools = request["tools"].dump();
    if (request.contains("enable_thinking")) demo.thinking = request["enable_thinking"].get<bool>();
    demo.prompt = entry["prompt"];
    demo.prompt_ids = entry["prompt_ids"].get<std::vector<int32_t>>();
    demo.greedy_ids = entry["greedy_ids"].get<std::vector<int32_t>>();
    demo.greedy_text = entry["greedy_text"];
    cases.push_back(std::move(demo));
  }
  return cases;
}

inline SamplingParams greedy_like_the_reference() {
  SamplingParams greedy;
  greedy.temperature = 0.0f;
  greedy.max_tokens = 96;
  greedy.skip_special_tokens = false;
  return greedy;
}

}  // namespace glmoe::testing
