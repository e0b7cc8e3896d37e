#include "serve/api/generation_fields.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>

namespace glmoe::serve {
namespace {

constexpr NumberRange kTemperature{0.0, 100.0};
constexpr NumberRange kTopP{0.0, 1.0, true};
constexpr NumberRange kMinP{0.0, 1.0};
constexpr NumberRange kPenalty{-2.0, 2.0};
constexpr NumberRange kRepetition{0.0, 100.0, true};
constexpr NumberRange kBias{-100.0, 100.0};
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

std::optional<float> narrow(std::optional<double> number) {
  if (!number) return std::nullopt;
  return static_cast<float>(*number);
}

void read_logit_bias(Fields& fields, const ApiContext& context, SamplingParams& sampling) {
  const OrderedJson* bias = fields.find("logit_bias");
  if (bias == nullptr) return;
  const std::string path = fields.path("logit_bias");
  if (!bias->is_object()) {
    fail_field(path, "invalid_type", "an object from token ids to numbers was wanted, found {}",
               describe(*bias));
  }
  if (bias->size() > context.limits.max_logit_biases) {
    fail_field(path, "limit_exceeded", "at most {} entries are accepted, found {}",
               context.limits.max_logit_biases, bias->size());
  }
  for (const auto& [key, value] : bias->items()) {
    int32_t id = -1;
    const char* end = key.data() + key.size();
    const auto [rest, problem] = std::from_chars(key.data(), end, id);
    if (problem != std::errc() || rest != end || id < 0 || id >= context.text->vocab_size()) {
      fail_field(path, "invalid_value", "token ids from 0 to {} were wanted, found \"{}\"",
                 context.text->vocab_size() - 1, shortened(key));
    }
    const double number = number_value(value, fmt::format("{}.{}", path, id), kBias);
    sampling.logit_bias[id] = static_cast<float>(number);
  }
}

void read_seed(Fields& fields, SamplingParams& sampling) {
  const OrderedJson* seed = fields.find("seed");
  if (seed == nullptr) return;
  // The whole range of uint64; -1 is how llama.cpp's and vLLM's clients ask for a random seed.
  if (seed->is_number_unsigned()) {
    sampling.seed = seed->get<uint64_t>();
    return;
  }
  const int64_t number =
      integer_value(*seed, fields.path("seed"), std::numeric_limits<int64_t>::min(), kMax);
  if (number != -1) sampling.seed = static_cast<uint64_t>(number);
}

void read_stop_token_ids(Fields& fields, const ApiContext& context, SamplingParams& sampling) {
  const OrderedJson* ids = fields.array("stop_token_ids", context.limits.max_stop_token_ids);
  for (size_t i = 0; ids != nullptr && i < ids->size(); ++i) {
    sampling.stop_token_ids.push_back(
        static_cast<int32_t>(integer_value((*ids)[i], item_path(fields.path("stop_token_ids"), i),
                                           0, context.text->vocab_size() - 1)));
  }
}

struct Unsupported {
  std::string_view field;
  std::string_view reason;
};

constexpr std::string_view kNoConstraints = "constrained output is not supported yet";

constexpr Unsupported kUnsupported[] = {
    {"structured_outputs", kNoConstraints},
    {"guided_json", kNoConstraints},
    {"guided_regex", kNoConstraints},
    {"guided_choice", kNoConstraints},
    {"guided_grammar", kNoConstraints},
    {"json_schema", kNoConstraints},
    {"grammar", kNoConstraints},
    {"regex", kNoConstraints},
    {"ebnf", kNoConstraints},
    {"structural_tag", kNoConstraints},
    {"bad_words", "not supported; logit_bias can keep single tokens out"},
    {"allowed_token_ids", "not supported; logit_bias can favour single tokens"},
    {"logits_processors", "code in requests is not accepted"},
    {"custom_logit_processor", "code in requests is not accepted"},
    {"use_beam_search", "beam search is not supported"},
    {"prompt_embeds", "embeddings as prompts are not supported"},
    {"truncate_prompt_tokens", "prompts are never truncated; shorten it before sending"},
    {"thinking_token_budget", "a budget for reasoning is not supported yet"},
    {"stop_regex", "not supported; use stop"},
    {"chat_template", "templates in requests are not accepted; the model's own is used"},
    {"documents", "the model's template has no place for documents"},
    {"functions", "replaced by tools"},
    {"function_call", "replaced by tool_choice"},
    {"audio", "this model writes text only"},
    {"web_search_options", "the server makes no requests of its own"},
};

// Values that ask for nothing.
bool is_nothing(const OrderedJson& value) {
  return value.is_null() || value == false ||
         ((value.is_array() || value.is_object() || value.is_string()) && value.size() == 0) ||
         (value.is_string() && value.get_ref<const std::string&>().empty());
}

}  // namespace

std::string read_model(Fields& fields, const ApiContext& context) {
  const std::optional<std::string> name = fields.string("model");
  if (!name || name->empty()) return context.model_names.front();
  const auto& names = context.model_names;
  if (std::find(names.begin(), names.end(), *name) == names.end()) {
    throw ApiError(HttpError{.status = 404,
                             .message = fmt::format("the model \"{}\" is not served here: use {}",
                                                    shortened(*name, 200), fmt::join(names, ", ")),
                             .code = "model_not_found",
                             .param = "model"});
  }
  return *name;
}

void read_sampling(Fields& fields, const ApiContext& context, SamplingParams& sampling) {
  sampling.temperature = narrow(fields.number("temperature", kTemperature));
  sampling.top_p = narrow(fields.number("top_p", kTopP));
  sampling.top_k = fields.integer("top_k", -1, kMax);
  sampling.min_p = narrow(fields.number("min_p", kMinP));
  sampling.repetition_penalty = narrow(fields.number("repetition_penalty", kRepetition));
  sampling.presence_penalty = narrow(fields.number("presence_penalty", kPenalty)).value_or(0.0f);
  sampling.frequency_penalty = narrow(fields.number("frequency_penalty", kPenalty)).value_or(0.0f);
  read_seed(fields, sampling);
  read_logit_bias(fields, context, sampling);
  read_stop_token_ids(fields, context, sampling);
  sampling.include_stop_str_in_output = fields.boolean_or("include_stop_str_in_output", false);
  sampling.ignore_eos = fields.boolean_or("ignore_eos", false);
  sampling.skip_special_tokens = fields.boolean_or("skip_special_tokens", true);
  sampling.min_tokens = fields.integer("min_tokens", 0, kMax).value_or(0);
  if (sampling.min_tokens > sampling.max_tokens) {
    fail_field(fields.path("min_tokens"), "invalid_value",
               "at most the maximum of tokens ({}) was wanted, found {}", sampling.max_tokens,
               sampling.min_tokens);
  }
}

void read_stop(Fields& fields, std::string_view key, const ServeLimits& limits,
               SamplingParams& sampling) {
  const OrderedJson* stop = fields.find(key);
  if (stop == nullptr) return;
  const std::string path = fields.path(key);
  const auto add = [&](const OrderedJson& value, const std::string& where) {
    const std::string& text = string_value(value, where, limits.max_stop_bytes);
    if (text.empty()) {
      fail_field(where, "invalid_value", "a stop string is empty: leave it out");
    }
    sampling.stop.push_back(text);
  };
  if (stop->is_string()) {
    add(*stop, path);
    return;
  }
  if (!stop->is_array()) {
    fail_field(path, "invalid_type", "a string or an array of strings was wanted, found {}",
               describe(*stop));
  }
  check_items(*stop, path, limits.max_stop_strings);
  for (size_t i = 0; i < stop->size(); ++i) add((*stop)[i], item_path(path, i));
}

void read_scheduling(Fields& fields, const ServeLimits& limits, Request& request) {
  request.priority =
      static_cast<int32_t>(fields
                               .integer("priority", std::numeric_limits<int32_t>::min(),
                                        std::numeric_limits<int32_t>::max())
                               .value_or(0));
  request.cache_salt = fields.string("cache_salt", limits.max_cache_salt_bytes).value_or("");
  constexpr double kDay = 86400.0;
  const std::optional<double> timeout = fields.number("timeout", {0.0, kDay, true});
  double seconds = timeout.value_or(limits.max_timeout_s);
  if (limits.max_timeout_s > 0.0) seconds = std::min(seconds, limits.max_timeout_s);
  request.timeout_ms = seconds * 1000.0;
}

void refuse_unsupported(Fields& fields) {
  for (const auto& [field, reason] : kUnsupported) {
    const OrderedJson* value = fields.find(field);
    if (value == nullptr || is_nothing(*value)) continue;
    fail_field(fields.path(field), "unsupported_parameter", "{}", reason);
  }
  if (std::optional<Fields> format = fields.object("response_format")) {
    const std::string type = format->require_string("type");
    if (type != "text") {
      fail_field(format->path("type"), "unsupported_value", "\"text\" was wanted, found \"{}\": {}",
                 shortened(type), kNoConstraints);
    }
  }
}

StreamFields read_stream(Fields& fields, std::vector<std::string>& warnings) {
  StreamFields result;
  result.stream = fields.boolean_or("stream", false);
  std::optional<Fields> options = fields.object("stream_options");
  if (!options) return result;
  if (!result.stream) {
    fail_field(options->path(), "invalid_value", "only accepted where stream is true");
  }
  result.include_usage = options->boolean_or("include_usage", false);
  result.continuous_usage = options->boolean_or("continuous_usage_stats", false);
  options->ignore({"include_obfuscation"});
  options->warn_of_unknown(warnings);
  return result;
}

void check_prompt_bytes(size_t num_bytes, const std::string& path, const ApiContext& context) {
  const auto most = static_cast<size_t>(context.max_model_len) * context.limits.max_bytes_per_token;
  if (num_bytes <= most) return;
  fail_field(path, "context_length_exceeded",
             "{} bytes of text, more than the model's context of {} tokens can hold", num_bytes,
             context.max_model_len);
}

void check_prompt_length(size_t num_tokens, const std::string& path, const ApiContext& context) {
  if (static_cast<int64_t>(num_tokens) < context.max_model_len) return;
  fail_field(path, "context_length_exceeded",
             "{} tokens of prompt, but the model's context holds {} and at least one must be left "
             "for the answer: shorten it",
             num_tokens, context.max_model_len);
}

void check_generated_tokens(size_t num_prompts, const SamplingParams& sampling,
                            const ApiContext& context) {
  const int64_t each = std::min(sampling.max_tokens, context.max_model_len);
  const int64_t answers = static_cast<int64_t>(num_prompts) * sampling.n;
  if (each <= context.limits.max_generated_tokens / answers) return;
  fail_field("max_tokens", "limit_exceeded",
             "{} answers of up to {} tokens, but one request may ask for {} tokens in all: lower n "
             "or max_tokens",
             answers, each, context.limits.max_generated_tokens);
}

}  // namespace glmoe::serve
