#include "step/sampling_resolve.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace glmoe {
namespace {

constexpr int64_t kMaxAnswers = 128;
constexpr int64_t kMaxLogprobs = 20;
constexpr size_t kMaxStopStrings = 16;
constexpr size_t kMaxStopBytes = 1024;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct FloatRange {
  float low;
  float high;
  bool open_low;  // `low` itself is not allowed
  std::string_view text;
};
constexpr FloatRange kTemperature{0.0f, 100.0f, false, "a number from 0 to 100"};
constexpr FloatRange kTopP{0.0f, 1.0f, true, "a number above 0 and at most 1"};
constexpr FloatRange kMinP{0.0f, 1.0f, false, "a number from 0 to 1"};
constexpr FloatRange kRepetition{0.0f, kInfinity, true, "a finite number above 0"};
constexpr FloatRange kPenalty{-2.0f, 2.0f, false, "a number from -2 to 2"};
constexpr FloatRange kBias{-100.0f, 100.0f, false, "a number from -100 to 100"};

float checked(std::string_view field, float value, const FloatRange& range) {
  const bool inside = std::isfinite(value) && value <= range.high &&
                      (range.open_low ? value > range.low : value >= range.low);
  if (!inside) fail_argument("{}: {} was wanted, found {}", field, range.text, value);
  return value;
}

int64_t checked(std::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    if (high == std::numeric_limits<int64_t>::max()) {
      fail_argument("{}: at least {} was wanted, found {}", field, low, value);
    }
    fail_argument("{}: a whole number from {} to {} was wanted, found {}", field, low, high, value);
  }
  return value;
}

template <class T>
std::string name_of(std::string_view field, const std::optional<T>& asked) {
  return asked ? std::string(field) : std::string(field) + " in generation_config.json";
}

float pick(std::string_view field, const std::optional<float>& asked,
           const std::optional<float>& model, float fallback, const FloatRange& range) {
  if (!asked && !model) return fallback;
  return checked(name_of(field, asked), asked ? *asked : *model, range);
}

void check_token(std::string_view field, int64_t id, int64_t vocab_size) {
  if (id < 0 || id >= vocab_size) {
    fail_argument("{}: token ids from 0 to {} were wanted, found {}", field, vocab_size - 1, id);
  }
}

void check_stop_strings(const std::vector<std::string>& stop) {
  if (stop.size() > kMaxStopStrings) {
    fail_argument("stop: at most {} strings are allowed, found {}", kMaxStopStrings, stop.size());
  }
  for (size_t i = 0; i < stop.size(); ++i) {
    if (stop[i].empty()) fail_argument("stop[{}]: the string is empty; leave it out", i);
    if (stop[i].size() > kMaxStopBytes) {
      fail_argument("stop[{}]: at most {} bytes are allowed, found {}", i, kMaxStopBytes,
                    stop[i].size());
    }
  }
}

void check_lengths(const SamplingParams& params) {
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
  checked("max_tokens", params.max_tokens, 1, kAny);
  checked("min_tokens", params.min_tokens, 0, kAny);
  if (params.min_tokens > params.max_tokens) {
    fail_argument("min_tokens: at most max_tokens ({}) was wanted, found {}", params.max_tokens,
                  params.min_tokens);
  }
  checked("n", params.n, 1, kMaxAnswers);
}

float resolve_temperature(const SamplingParams& params, const SamplingDefaults& defaults) {
  const bool asked = params.temperature || params.top_k || params.top_p;
  if (!asked && defaults.do_sample == false) return 0.0f;
  return pick("temperature", params.temperature, defaults.temperature, 1.0f, kTemperature);
}

}  // namespace

ResolvedSampling resolve_sampling(const SamplingParams& params, const SamplingDefaults& defaults,
                                  int64_t vocab_size, uint64_t fallback_seed) {
  check_lengths(params);
  check_stop_strings(params.stop);
  ResolvedSampling result;
  result.temperature = resolve_temperature(params, defaults);
  const int64_t top_k = params.top_k.value_or(defaults.top_k.value_or(0));
  // -1: vLLM's way to say all.
  result.top_k = std::max<int64_t>(
      checked(name_of("top_k", params.top_k), top_k, -1, std::numeric_limits<int64_t>::max()), 0);
  result.top_p = pick("top_p", params.top_p, defaults.top_p, 1.0f, kTopP);
  result.min_p = pick("min_p", params.min_p, defaults.min_p, 0.0f, kMinP);
  result.repetition_penalty = pick("repetition_penalty", params.repetition_penalty,
                                   defaults.repetition_penalty, 1.0f, kRepetition);
  result.presence_penalty = checked("presence_penalty", params.presence_penalty, kPenalty);
  result.frequency_penalty = checked("frequency_penalty", params.frequency_penalty, kPenalty);
  result.seed = params.seed.value_or(fallback_seed);
  result.min_tokens = params.min_tokens;
  for (const int32_t id : params.stop_token_ids) check_token("stop_token_ids", id, vocab_size);
  result.stop_token_ids = params.stop_token_ids;
  for (const auto& [id, bias] : params.logit_bias) {
    check_token("logit_bias", id, vocab_size);
    checked(fmt::format("logit_bias of token {}", id), bias, kBias);
    result.logit_bias.emplace_back(id, bias);
  }
  if (params.logprobs) {
    result.num_logprobs = checked("logprobs", *params.logprobs, 0, kMaxLogprobs);
  }
  if (params.prompt_logprobs) {
    result.num_prompt_logprobs =
        checked("prompt_logprobs", *params.prompt_logprobs, 0, kMaxLogprobs);
  }
  if (params.logits_processor) {
    result.logits_processor = std::make_shared<const LogitsProcessor>(params.logits_processor);
  }
  return result;
}

}  // namespace glmoe
