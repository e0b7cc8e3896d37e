#include "llm/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>

#include "checkpoint/hf_folder.h"
#include "convert/build_engine.h"
#include "convert/convert_checkpoint.h"
#include "glmoe/error.h"
#include "spec/memory_plan.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

// The demo model has an MTP layer. `plan` says what a model needs without it; loading must agree.
class LoadModel : public ::testing::Test {
 protected:
  LoadedModel load(const std::string& path) {
    LlmOptions options;
    options.model = path;
    return load_model(options, team_);
  }
  void expect_no_mtp(const std::string& path) {
    const LoadedModel model = load(path);
    EXPECT_TRUE(model.weights->weights().mtp.empty()) << path;
    const MemoryPlan plan = plan_memory(model.config, {.weight_dtype = model.weights->dtype()});
    EXPECT_EQ(static_cast<int64_t>(model.weights->resident_bytes()), plan.weight_bytes()) << path;
  }
  ThreadTeam team_{2};
};

TEST_F(LoadModel, TakesNoMemoryForMtpLayersFromAnyFolderThatIsCopied) {
  ASSERT_EQ(Glm4MoeConfig::from_file(demo_folder() + "/config.json").num_nextn_predict_layers, 1);
  expect_no_mtp(demo_folder());
  TempFolder folder;
  ConvertOptions convert;
  convert.model_dir = demo_folder();
  convert.output_dir = folder.file("converted");
  convert.mapping.tp_size = 2;
  convert_checkpoint(convert);
  expect_no_mtp(convert.output_dir);
  BuildOptions build;
  build.model_dir = convert.output_dir;
  build.output_dir = folder.file("engine");
  ASSERT_EQ(build_engine(build).num_ranks, 2);
  expect_no_mtp(build.output_dir);
}

TEST_F(LoadModel, WhatCannotFitThisMachineIsRefusedBeforeItIsMade) {
  LlmOptions options;
  options.load_format = "dummy";
  options.config = Glm4MoeConfig::preset("glm-4.5");
  options.config->num_hidden_layers = 1000;  // 8 TB
  try {
    load_model(options, team_);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(error.what(),
                AllOf(ContainsRegex("need [0-9]{13} bytes"), HasSubstr("are available")));
  }
}

// A state_dict of the demo model: each tensor in memory of its own.
std::vector<NamedTensor> demo_state_dict(std::vector<std::weak_ptr<const void>>* owners = nullptr) {
  const HfFolder folder(demo_folder());
  std::vector<NamedTensor> result;
  for (const std::string& name : folder.names()) {
    const HostTensor& from = folder.tensor(name);
    const auto bytes =
        std::make_shared<std::vector<std::byte>>(from.bytes.begin(), from.bytes.end());
    const ElementKind kind = from.dtype == DType::kF32    ? ElementKind::kFloat32
                             : from.dtype == DType::kBF16 ? ElementKind::kBfloat16
                                                          : ElementKind::kFloat16;
    result.push_back({name,
                      {.data = bytes->data(),
                       .kind = kind,
                       .shape = {from.shape.dims().begin(), from.shape.dims().end()},
                       .owner = bytes}});
    if (owners != nullptr) owners->push_back(bytes);
  }
  return result;
}

TEST(StateDict, RunsLikeTheFolderAndIsLetGoWithTheModel) {
  LlmOptions options;
  options.model = demo_folder();
  options.num_threads = 2;
  options.kv_cache.max_tokens = 256;
  options.backend = "cpu";
  const std::vector<std::vector<int32_t>> text = {{301, 302, 303, 304}};
  const std::vector<std::vector<float>> wanted = LLM(options).logits(text);
  std::vector<std::weak_ptr<const void>> owners;
  {
    options.state_dict = demo_state_dict(&owners);
    LLM llm(options);
    options.state_dict.clear();
    EXPECT_EQ(llm.logits(text), wanted);
    EXPECT_THAT(llm.describe(), HasSubstr("read in place"));
    EXPECT_FALSE(owners.front().expired());
  }
  for (const auto& owner : owners) EXPECT_TRUE(owner.expired());
}

TEST(StateDict, WhatItLacksOrHasWronglyIsNamed) {
  const auto refusal = [](std::vector<NamedTensor> state_dict, const std::string& model) {
    LlmOptions options;
    options.model = model;
    options.state_dict = std::move(state_dict);
    try {
      LLM llm(options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  std::vector<NamedTensor> on_gpu = demo_state_dict();
  on_gpu[3].tensor.device = 0;
  EXPECT_THAT(refusal(on_gpu, demo_folder()), AllOf(HasSubstr(on_gpu[3].name), HasSubstr("GPU 0")));
  std::vector<NamedTensor> short_one = demo_state_dict();
  short_one[0].tensor.shape[0] -= 1;
  EXPECT_THAT(refusal(short_one, demo_folder()), HasSubstr(short_one[0].name));
  std::vector<NamedTensor> bare = demo_state_dict();
  bare[1].tensor.data = nullptr;
  EXPECT_THAT(refusal(bare, demo_folder()), HasSubstr(bare[1].name));
  EXPECT_THAT(refusal(demo_state_dict(), ""), HasSubstr("config.json"));
}

// --- A forward pass of the caller's own

TEST(OwnForward, GeneratesThroughTheWholeEngine) {
  LlmOptions model_options;
  model_options.model = demo_folder();
  model_options.backend = "cpu";
  model_options.dtype = "float32";
  model_options.num_threads = 2;
  model_options.kv_cache.max_tokens = 512;
  LLM model(model_options);
  std::map<uint64_t, std::vector<int32_t>> texts;
  LlmOptions options;
  options.model = demo_folder();
  options.kv_cache.max_tokens = 512;
  options.max_batch_size = 4;
  options.max_num_tokens = 16;  // prompts come in pieces
  // The engine's own model, asked for whole texts again and again.
  options.forward = [&](const ForwardBatch& batch, std::span<float> logits) {
    size_t done = 0;
    for (const uint64_t id : batch.released) texts.erase(id);
    for (const ForwardSequence& sequence : batch.sequences) {
      std::vector<int32_t>& text = texts[sequence.id];
      text.resize(static_cast<size_t>(sequence.start_position));
      text.insert(text.end(), sequence.token_ids.begin(), sequence.token_ids.end());
      if (sequence.num_logit_rows == 0) continue;
      const std::vector<float> all = model.logits({text})[0];
      const auto count = static_cast<size_t>(sequence.num_logit_rows * model.config().vocab_size);
      std::copy(all.end() - static_cast<int64_t>(count), all.end(), logits.begin() + done);
      done += count;
    }
  };
  LLM llm(options);
  SamplingParams sampling;
  sampling.temperature = 0.0f;
  sampling.max_tokens = 12;
  const std::vector<Prompt> prompts = {"What is a violin?",
                                       "A rather long question, which takes several steps: what "
                                       "is the capital of Peru, and why?"};
  const std::vector<RequestOutput> wanted = model.generate(prompts, sampling);
  const std::vector<RequestOutput> found = llm.generate(prompts, sampling);
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(found[i].outputs[0].token_ids, wanted[i].outputs[0].token_ids);
    EXPECT_EQ(found[i].outputs[0].text, wanted[i].outputs[0].text);
  }
  EXPECT_THAT(llm.describe(), HasSubstr("caller's own"));
  EXPECT_THROW((void)llm.hidden_states({{1}}), Error);
}

TEST(OwnForward, AFailureEndsItsAnswersWithItsMessage) {
  LlmOptions options;
  options.model = demo_folder();
  options.kv_cache.max_tokens = 512;
  options.forward = [](const ForwardBatch&, std::span<float>) {
    throw std::runtime_error("the device is on fire");
  };
  LLM llm(options);
  const CompletionOutput answer = llm.generate("Hello", {}).outputs[0];
  EXPECT_EQ(answer.finish_reason, FinishReason::kError);
  EXPECT_THAT(answer.error, HasSubstr("on fire"));
}

}  // namespace
}  // namespace glmoe
