#include "llm/fake_llm.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "llm/llm_factory.h"

namespace glmoe {
namespace {

// Ids whose text is whole and plain: a hash picks among them.
std::vector<int32_t> plain_tokens(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    const bool printable = std::ranges::all_of(bytes, [](char c) { return c >= ' ' && c <= '~'; });
    if (!bytes.empty() && printable && !tokenizer.is_added(id)) ids.push_back(id);
  }
  return ids;
}

// The cache holds at each position a hash of the text up to there, made from the one before.
class FakeExecutor final : public Executor {
 public:
  FakeExecutor(const Glm4MoeConfig& config, const ResolvedConfig& resolved,
               const std::shared_ptr<const Tokenizer>& tokenizer, const FakeLlmOptions& options)
      : vocab_size_(config.vocab_size),
        tokens_per_block_(resolved.tokens_per_block),
        cache_(static_cast<size_t>(resolved.num_kv_blocks * resolved.tokens_per_block), 0),
        options_(options),
        choices_(plain_tokens(*tokenizer)) {
    if (!options.reply.empty()) {
      reply_ = tokenizer->encode(options.reply);
      reply_.push_back(config.eos_token_ids.empty() ? 0 : config.eos_token_ids.front());
    }
  }

  StepResult execute(const StepPlan& plan) override {
    const auto begin = std::chrono::steady_clock::now();
    for (const SequenceId id : plan.released) started_.erase(id);
    for (const SequenceStart& start : plan.started) {
      started_[start.id] = {.num_prompt = static_cast<int64_t>(start.prompt_ids.size()),
                            .num_logprobs = start.sampling.num_logprobs,
                            .num_prompt_logprobs = start.sampling.num_prompt_logprobs};
    }
    if (options_.before_step) options_.before_step(plan);
    StepResult result{.step_id = plan.step_id, .sequences = {}};
    for (const BlockCopy& copy : plan.copies) {
      std::copy_n(cache_.begin() + copy.from * tokens_per_block_, tokens_per_block_,
                  cache_.begin() + copy.to * tokens_per_block_);
    }
    result.sequences.reserve(plan.sequences.size());
    for (const SequenceStep& step : plan.sequences) result.sequences.push_back(run(step));
    const double ms =
        options_.step_ms + options_.token_us * 1e-3 * static_cast<double>(plan.num_tokens());
    if (ms > 0)
      std::this_thread::sleep_until(begin + std::chrono::duration<double, std::milli>(ms));
    if (options_.after_step) options_.after_step(plan, result);
    return result;
  }

  std::vector<float> logits(std::span<const int32_t> token_ids, int64_t) override {
    return std::vector<float>(token_ids.size() * static_cast<size_t>(vocab_size_), 0.0f);
  }
  std::string describe_moe() const override { return "none (no model: a fake)"; }
  std::vector<std::vector<uint64_t>> expert_counts() const override { return {}; }

 private:
  struct Started {
    int64_t num_prompt = 0;
    int64_t num_logprobs = -1, num_prompt_logprobs = -1;
  };

  uint64_t& slot(const SequenceStep& step, int64_t position) {
    const int32_t block = step.block_table.at(static_cast<size_t>(position / tokens_per_block_));
    return cache_.at(static_cast<size_t>(block * tokens_per_block_ + position % tokens_per_block_));
  }

  static PositionLogprobs logprobs(int32_t token, int64_t num_alternatives) {
    PositionLogprobs entries = {{.token_id = token, .logprob = -0.5f, .rank = 1}};
    for (int64_t i = 0; i < num_alternatives; ++i) {
      const int64_t rank = i + 1;
      entries.push_back({.token_id = static_cast<int32_t>(i == 0 ? token : token ^ i),
                         .logprob = -0.5f * static_cast<float>(rank),
                         .rank = rank});
    }
    return entries;
  }

  SequenceResult run(const SequenceStep& step) {
    const auto found = started_.find(step.id);
    GLMOE_CHECK(found != started_.end(), "sequence {} was not started", step.id);
    const Started& started = found->second;
    const auto count = static_cast<int64_t>(step.token_ids.size());
    uint64_t hash = step.start_position > 0 ? slot(step, step.start_position - 1) : 1;
    for (int64_t i = 0; i < count; ++i) {
      const int32_t token = step.token_ids[static_cast<size_t>(i)];
      hash = mix64(hash + static_cast<uint64_t>(token) + 1);
      slot(step, step.start_position + i) = hash;
    }
    SequenceResult result;
    result.id = step.id;
    if (step.prompt_logprobs) {
      for (int64_t i = 1; i < count; ++i) {
        result.prompt_logprobs.push_back(
            logprobs(step.token_ids[static_cast<size_t>(i)], started.num_prompt_logprobs));
      }
      if (!step.sample) {
        result.prompt_logprobs.push_back(logprobs(step.next_token_id, started.num_prompt_logprobs));
      }
    }
    if (!step.sample) return result;
    result.sampled = true;
    const int64_t num_generated = step.start_position + count - started.num_prompt;
    if (reply_.empty()) {
      result.token_id = choices_[hash % choices_.size()];
    } else {
      const auto last = static_cast<int64_t>(reply_.size()) - 1;
      result.token_id = reply_[static_cast<size_t>(std::clamp<int64_t>(num_generated, 0, last))];
    }
    if (started.num_logprobs >= 0)
      result.logprobs = logprobs(result.token_id, started.num_logprobs);
    return result;
  }

  int64_t vocab_size_;
  int64_t tokens_per_block_;
  std::vector<uint64_t> cache_;
  FakeLlmOptions options_;
  std::vector<int32_t> choices_;
  std::vector<int32_t> reply_;
  std::unordered_map<SequenceId, Started> started_;
};

}  // namespace

LLM make_fake_llm(FakeLlmOptions options) {
  LlmOptions& llm = options.llm;
  llm.tokenizer = options.folder;
  llm.load_format = "dummy";
  llm.config = Glm4MoeConfig::from_file(options.folder + "/config.json");
  llm.num_threads = 1;
  if (llm.kv_cache.max_tokens == 0) llm.kv_cache.max_tokens = 65536;
  const LlmOptions llm_options = llm;
  return LlmFactory::make(
      llm_options, [&options](const Glm4MoeConfig& config, const ResolvedConfig& resolved,
                              const std::shared_ptr<const Tokenizer>& tokenizer) {
        return std::make_unique<FakeExecutor>(config, resolved, tokenizer, options);
      });
}

}  // namespace glmoe
