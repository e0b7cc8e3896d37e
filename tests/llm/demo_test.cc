// The demo model answers as Hugging Face's transformers did, tool call and second turn included.
// Mirrors: no one file, because it drives the whole engine through the public API.
#include <gtest/gtest.h>

#include "support/demo_cases.h"

namespace glmoe {
namespace {

using namespace testing;

LLM load_demo(const std::string& dtype, int64_t max_num_tokens = 2048) {
  LlmOptions options;
  options.model = demo_folder();
  options.dtype = dtype;
  options.max_num_tokens = max_num_tokens;
  options.max_batch_size = std::min<int64_t>(32, max_num_tokens);
  options.num_threads = 2;
  return LLM(options);
}

TEST(DemoModel, RendersAndTokenisesEveryCaseAsHuggingFace) {
  const LLM llm = load_demo("float32");
  const std::vector<DemoCase> cases = demo_cases();
  ASSERT_EQ(cases.size(), 21u);
  for (const DemoCase& demo : cases) {
    const ChatOptions chat{.tools_json = demo.tools, .enable_thinking = demo.thinking};
    const std::string prompt = llm.render_chat(demo.messages, chat);
    EXPECT_EQ(prompt, demo.prompt);
    EXPECT_EQ(llm.tokenize(prompt), demo.prompt_ids);
  }
}

TEST(DemoModel, AnswersEveryCaseAsHuggingFaceInOneBatch) {
  LLM llm = load_demo("float32");
  const std::vector<DemoCase> cases = demo_cases();
  std::vector<Prompt> prompts;
  for (const DemoCase& demo : cases) prompts.emplace_back(demo.prompt);
  const auto outputs = llm.generate(prompts, greedy_like_the_reference());
  for (size_t i = 0; i < cases.size(); ++i) {
    const CompletionOutput& answer = outputs[i].outputs[0];
    EXPECT_EQ(answer.token_ids, cases[i].greedy_ids) << cases[i].prompt;
    // The reference text holds the end token's own text too; ours ends before it.
    const bool ended = answer.finish_reason == FinishReason::kStop;
    const std::string end = ended ? llm.detokenize({answer.token_ids.back()}) : "";
    EXPECT_EQ(answer.text + end, cases[i].greedy_text);
    EXPECT_EQ(answer.finish_reason,
              cases[i].greedy_ids.size() < 96 ? FinishReason::kStop : FinishReason::kLength);
  }
}

TEST(DemoModel, LogitsEqualHuggingFace) {
  const SafetensorsFile file(std::string(GLMOE_TEST_DATA) + "/demo_logits.safetensors");
  const std::vector<DemoCase> cases = demo_cases();
  for (const auto& [dtype, limit] : {std::pair{"float32", 1e-4}, {"bfloat16", 2e-2}}) {
    LLM llm = load_demo(dtype);
    for (const auto& [name, tensor] : file.tensors()) {
      const auto index = static_cast<size_t>(std::stoi(name.substr(4)));
      const auto ours = llm.logits({cases[index].prompt_ids});
      EXPECT_LE(relative_error(ours[0], floats(tensor)), limit) << name << " in " << dtype;
    }
  }
}

TEST(DemoModel, AnswersTheSameAloneInABatchAndInAnyChunks) {
  const std::vector<DemoCase> cases = demo_cases();
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < 16; ++i) prompts.emplace_back(cases[i].prompt);
  std::vector<SamplingParams> sampling(prompts.size(), greedy_like_the_reference());
  for (size_t i = 0; i < sampling.size(); ++i) {
    sampling[i].max_tokens = 40;
    if (i % 2 == 1) {  // half of them sampled, each with its seed
      sampling[i].temperature = 0.9f;
      sampling[i].top_p = 0.95f;
      sampling[i].seed = 1000 + i;
    }
  }
  LLM batched = load_demo("bfloat16");
  const auto wanted = batched.generate(prompts, sampling);
  for (size_t i = 0; i < prompts.size(); ++i) {
    const RequestOutput alone = batched.generate(prompts[i], sampling[i]);
    EXPECT_EQ(alone.outputs[0].token_ids, wanted[i].outputs[0].token_ids) << i;
    EXPECT_EQ(alone.outputs[0].text, wanted[i].outputs[0].text) << i;
  }
  for (const int64_t chunk : {1, 7, 16, 64}) {
    LLM chunked = load_demo("bfloat16", chunk);
    const auto outputs = chunked.generate(prompts, sampling);
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(outputs[i].outputs[0].token_ids, wanted[i].outputs[0].token_ids)
          << i << " with " << chunk << " tokens a step";
    }
  }
}

}  // namespace
}  // namespace glmoe
