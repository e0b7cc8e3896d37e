#include "apps/command.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <limits>
#include <mutex>

#include "base/error.h"

namespace glmoe::apps {

void add_model_flags(CLI::App& command, LlmOptions& options, bool model_required) {
  auto* model = command.add_option("--model", options.model,
                                   "Hugging Face folder, converted folder or engine");
  if (model_required) model->required();
  command.add_option("--tokenizer", options.tokenizer, "Folder with tokenizer.json [the model's]");
  command.add_option("--backend", options.backend, "auto, cpu or cuda")->capture_default_str();
  command
      .add_option("--dtype", options.dtype,
                  "Type computed in: auto (the weights' own), float32, bfloat16 or float16")
      ->capture_default_str();
  command
      .add_option("--moe_backend", options.moe_backend, "AUTO, CUTLASS, TRTLLM, VANILLA or WIDEEP")
      ->capture_default_str();
  command.add_option("--tensor_parallel_size,--tp_size", options.tensor_parallel_size);
  command.add_option("--pipeline_parallel_size,--pp_size", options.pipeline_parallel_size);
  command.add_option("--expert_parallel_size,--ep_size", options.expert_parallel_size);
  command.add_option("--num_threads", options.num_threads, "Threads [one a physical core]");
  command.add_option("--max_batch_size", options.max_batch_size, "Sequences in one step")
      ->capture_default_str();
  command
      .add_option("--max_num_tokens", options.max_num_tokens,
                  "Tokens in one step, also the longest prefill chunk")
      ->capture_default_str();
  command.add_option("--max_seq_len", options.max_seq_len,
                     "Tokens of prompt and answer [the model's]");
  command.add_option("--kv_cache_tokens", options.kv_cache.max_tokens,
                     "Tokens that the KV cache holds [what fits]");
  command.add_option(
      "--kv_cache_fraction", options.kv_cache.free_memory_fraction,
      "Share of the free memory for the KV cache, without --kv_cache_tokens [0.5 on the "
      "CPU, 0.9 on a GPU]");
  command
      .add_option("--tokens_per_block", options.kv_cache.tokens_per_block,
                  "Tokens of a KV block; 0: 64 on a GPU, 16 on the CPU")
      ->capture_default_str();
  command.add_flag("--enable_block_reuse,!--no_enable_block_reuse",
                   options.kv_cache.enable_block_reuse,
                   "Share the KV blocks of equal prefixes between requests (default)");
  command
      .add_option("--max_queued_requests", options.max_queued_requests,
                  "Requests that may wait; more are refused")
      ->capture_default_str();
  // As functions: CLI11 sets a std::optional<bool> to false as soon as its flag is declared.
  command.add_flag_function(
      "--plan_ahead,!--no_plan_ahead",
      [&options](int64_t count) { options.plan_ahead = count > 0; },
      "Plan a step before the tokens of the running one are known [on a GPU]");
  command.add_flag("--verify_checksums,!--skip_checksums", options.verify_checksums,
                   "Check an engine's blobs while loading (default)");
  command.add_flag("--cuda_graphs,!--no_cuda_graphs", options.cuda_graphs,
                   "On a GPU, run decode steps as captured graphs (default)");
}

void add_shape_flags(CLI::App& command, std::string& preset, int64_t& num_layers,
                     LlmOptions& options) {
  command.add_option("--preset", preset, "Shapes of a published model");
  command.add_option("--layers,--num_layers", num_layers, "Only so many layers")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--load_format", options.load_format, "auto, or dummy: random weights")
      ->capture_default_str();
}

void resolve_shapes(const char* command, const std::string& preset, int64_t num_layers,
                    LlmOptions& options) {
  if (!preset.empty()) {
    options.config = Glm4MoeConfig::preset(preset);
    if (num_layers > 0) options.config->num_hidden_layers = num_layers;
    if (options.load_format != "dummy") {
      fail_argument("--preset names shapes, not weights: add --load_format dummy, or give --model");
    }
  } else if (options.model.empty()) {
    fail_argument("{}: --model FOLDER, or --preset NAME --load_format dummy is wanted", command);
  }
}

void add_sampling_flags(CLI::App& command, SamplingParams& sampling) {
  command.add_option("--max_tokens", sampling.max_tokens, "Generated tokens at most")
      ->capture_default_str();
  command.add_option("--min_tokens", sampling.min_tokens);
  command.add_option("--temperature", sampling.temperature, "0 is greedy [the model's]");
  command.add_option("--top_k", sampling.top_k);
  command.add_option("--top_p", sampling.top_p);
  command.add_option("--min_p", sampling.min_p);
  command.add_option("--repetition_penalty", sampling.repetition_penalty);
  command.add_option("--presence_penalty", sampling.presence_penalty);
  command.add_option("--frequency_penalty", sampling.frequency_penalty);
  command.add_option("--seed", sampling.seed);
  command.add_option("--n", sampling.n, "Answers a prompt");
  command.add_option("--stop", sampling.stop, "Stop string; may be given several times");
  command.add_option("--stop_token_ids", sampling.stop_token_ids);
  command.add_flag("--include_stop_str_in_output", sampling.include_stop_str_in_output);
  command.add_flag("--ignore_eos", sampling.ignore_eos);
  command.add_option("--logprobs", sampling.logprobs, "Alternatives a generated token");
  command.add_option("--prompt_logprobs", sampling.prompt_logprobs);
}

std::function<bool()> add_mapping_flags(CLI::App& command, Mapping& mapping) {
  const std::vector<const CLI::Option*> flags = {
      command.add_option("--tensor_parallel_size,--tp_size", mapping.tp_size)
          ->capture_default_str(),
      command.add_option("--pipeline_parallel_size,--pp_size", mapping.pp_size)
          ->capture_default_str(),
      command
          .add_option("--expert_parallel_size,--ep_size,--moe_ep_size", mapping.ep_size,
                      "Ranks over which the experts are divided")
          ->capture_default_str(),
      command.add_option("--moe_tp_size", mapping.moe_tp_size,
                         "Ranks over which one expert is divided [tp_size / ep_size]"),
      command.add_option("--world_size", mapping.world_size, "Ranks [tp_size * pp_size]")};
  return [flags] {
    return std::any_of(flags.begin(), flags.end(),
                       [](const CLI::Option* flag) { return flag->count() > 0; });
  };
}

namespace {

template <class T>
std::string whole_number_problem(const std::string& text) {
  T value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status == std::errc() && end == text.data() + text.size()) return {};
  return fmt::format("a whole number from {} to {} was wanted, found '{}'",
                     std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), text);
}

}  // namespace

void check_whole_numbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type.starts_with("UINT")) option->check(whole_number_problem<uint64_t>, "", "");
    if (type.starts_with("INT")) option->check(whole_number_problem<int64_t>, "", "");
  }
  for (CLI::App* command : app.get_subcommands({})) check_whole_numbers(*command);
}

std::optional<DType> parse_float_dtype(const std::string& name, const std::string& flag) {
  if (name == "auto") return std::nullopt;
  DType dtype;
  if (!parse_dtype(name, dtype) ||
      (dtype != DType::kF32 && dtype != DType::kBF16 && dtype != DType::kF16)) {
    fail_argument("{} '{}' is unknown: use auto, float32, bfloat16 or float16", flag, name);
  }
  return dtype;
}

int64_t parse_bytes(const std::string& text, const std::string& flag) {
  size_t end = 0;
  double value = -1.0;
  try {
    value = std::stod(text, &end);
  } catch (const std::exception&) {
  }
  const std::string unit = text.substr(end);
  double scale = 0.0;
  if (unit.empty() || unit == "B") scale = 1.0;
  if (unit == "K" || unit == "KiB") scale = 1024.0;
  if (unit == "M" || unit == "MiB") scale = 1024.0 * 1024.0;
  if (unit == "G" || unit == "GiB") scale = 1024.0 * 1024.0 * 1024.0;
  if (unit == "T" || unit == "TiB") scale = 1024.0 * 1024.0 * 1024.0 * 1024.0;
  const double bytes = value * scale;
  if (!(bytes >= 1.0 && bytes < 9.0e18)) {
    fail_argument("{} is '{}': a size such as 800M or 16G was wanted", flag, text);
  }
  return static_cast<int64_t>(bytes);
}

std::string human_bytes(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024.0 && unit < 4) {
    bytes /= 1024.0;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, units[unit]);
}

void print_json(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::fputs((text + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void print_error(const std::string& message) {
  std::string line = "glmoe: ";
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      line += fmt::format("\\x{:02x}", byte);
    } else {
      line += c;
    }
  }
  std::fputs((line + "\n").c_str(), stderr);
}

struct ProgressBar::State {
  std::string title;
  bool terminal = ::isatty(STDERR_FILENO) == 1;
  std::mutex mutex;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last{};
  bool shown = false;
};

ProgressBar::ProgressBar(std::string title) : state_(std::make_shared<State>()) {
  state_->title = std::move(title);
}

ProgressBar::~ProgressBar() {
  if (state_->terminal && state_->shown) std::fputs("\n", stderr);
}

void ProgressBar::update(uint64_t done, uint64_t total, const std::string& what) {
  std::lock_guard lock(state_->mutex);
  const auto now = std::chrono::steady_clock::now();
  const double interval = state_->terminal ? 0.1 : 5.0;
  const bool finished = done >= total;
  if (!finished && std::chrono::duration<double>(now - state_->last).count() < interval) return;
  state_->last = now;
  const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1.0;
  const double seconds = std::chrono::duration<double>(now - state_->start).count();
  const auto filled = static_cast<size_t>(share * 30.0);
  std::string line = fmt::format("{} [{}{}] {:3.0f} %  {} of {}  {:.1f} s  {}", state_->title,
                                 std::string(filled, '#'), std::string(30 - filled, '.'),
                                 share * 100.0, human_bytes(static_cast<double>(done)),
                                 human_bytes(static_cast<double>(total)), seconds, what);
  if (state_->terminal) {
    line.resize(std::min<size_t>(line.size(), 118));
    std::fputs(("\r\x1b[2K" + line).c_str(), stderr);
    state_->shown = true;
  } else {
    std::fputs((line + "\n").c_str(), stderr);
  }
  std::fflush(stderr);
}

}  // namespace glmoe::apps
