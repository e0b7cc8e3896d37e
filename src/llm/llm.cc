// The composition root: builds every part from the options and connects them.
#include "glmoe/llm.h"

#include <random>
#include <utility>

#include "base/clock.h"
#include "base/env.h"
#include "base/error.h"
#include "base/log.h"
#include "device/cpu_info.h"
#include "exec/executor.h"
#include "exec/forward_executor.h"
#include "gpu/gpu_backend.h"
#include "llm/chat_impl.h"
#include "llm/engine.h"
#include "llm/llm_factory.h"
#include "llm/load.h"
#include "llm/resolved_config.h"
#include "llm/response_stream.h"
#include "text/chat_encoder.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace glmoe {

struct LLM::Impl {
  // `factory`: makes the executor in the place of the model's own, and no weights are loaded.
  explicit Impl(LlmOptions opts, const ExecutorFactory& factory = nullptr);
  ~Impl() {
    if (engine) engine->shutdown();
  }
  // Runs `work` as the phase `name` of loading.
  template <class Work>
  auto timed(const char* name, const Work& work);
  // backend cuda, or auto where there is a GPU for it.
  bool runs_on_gpu();
  // Both fill `resolved`.
  std::unique_ptr<Executor> make_cpu_executor();
  std::unique_ptr<Executor> make_gpu_executor();
  std::unique_ptr<Executor> make_other_executor(const ExecutorFactory& factory);
  int64_t num_valid_tokens() const { return tokenizer ? tokenizer->vocab_size() : 0; }
  // Both throw kUnsupported where the model has none.
  const std::shared_ptr<const Tokenizer>& need_tokenizer() const;
  const ChatTemplate& need_template() const;
  // Throws kInvalidArgument for a row that the model cannot take.
  void check_rows(const std::vector<std::vector<int32_t>>& input_ids) const;
  std::vector<Tensor> prompt_rows(PromptRows what,
                                  const std::vector<std::vector<int32_t>>& input_ids);

  LlmOptions options;
  bool on_gpu = false;
  std::shared_ptr<ThreadTeam> team;
  LoadedModel model;
  ResolvedConfig resolved;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;
  std::shared_ptr<Engine> engine;
  std::string device_description, backend_description;
  std::vector<std::string> notes;  // made before `resolved`
  std::vector<StartupPhase> startup;
};

const std::shared_ptr<const Tokenizer>& LLM::Impl::need_tokenizer() const {
  if (!tokenizer) {
    fail(ErrorCode::kUnsupported, "{}: the model came without tokenizer.json", options.model);
  }
  return tokenizer;
}

const ChatTemplate& LLM::Impl::need_template() const {
  if (!chat_template) {
    fail(ErrorCode::kUnsupported,
         "{}: no chat template: neither chat_template.jinja nor a chat_template in "
         "tokenizer_config.json",
         options.model);
  }
  return *chat_template;
}

template <class Work>
auto LLM::Impl::timed(const char* name, const Work& work) {
  const SteadyClock clock;
  const double start_ms = clock.now_ms();
  auto result = work();
  startup.push_back({name, clock.now_ms() - start_ms});
  return result;
}

bool LLM::Impl::runs_on_gpu() {
  if (options.backend == "cpu") return false;
  if (options.backend == "cuda") return true;
  if (!GpuBackend::why_not().empty()) return false;
  if (options.dtype == "float32") {
    notes.push_back("backend auto: the CPU, since the GPU does not compute in float32");
    return false;
  }
  return true;
}

std::unique_ptr<Executor> LLM::Impl::make_cpu_executor() {
  resolved = resolve_config(
      options, model.config, model.dtype, team->size(),
      {.available_bytes = [](const ResolvedConfig&) { return cpu_info().available_bytes; },
       .default_fraction = 0.5});
  if (resolved.moe_backend == MoeBackendKind::kCutlass) {
    resolved.notes.push_back(
        "moe_backend CUTLASS on the CPU: the grouped products run on the CPU's SIMD kernels");
  }
  device_description = fmt::format("CPU, {} threads", resolved.num_threads);
  return std::make_unique<CpuExecutor>(
      model.config, model.weights, team,
      CpuExecutorOptions{.compute_dtype = resolved.compute_dtype,
                         .moe_backend = resolved.moe_backend,
                         .tokens_per_block = resolved.tokens_per_block,
                         .num_blocks = resolved.num_kv_blocks,
                         .num_valid_tokens = num_valid_tokens(),
                         .fault = env::get().fault});
}

std::unique_ptr<Executor> LLM::Impl::make_gpu_executor() {
  DType dtype = model.dtype;
  if (options.dtype != "auto") parse_dtype(options.dtype, dtype);
  const Glm4MoeWeights* weights = model.weights ? &model.weights->weights() : nullptr;
  const GpuBackend gpu =
      timed("weights to the GPU", [&] { return GpuBackend(model.config, weights, dtype, *team); });
  model.weights.reset();  // they lie on the GPU now
  GpuExecutorOptions executor_options{.num_valid_tokens = num_valid_tokens(),
                                      .cuda_graphs = options.cuda_graphs,
                                      .fault = env::get().fault};
  const auto fill = [&](const ResolvedConfig& from) {
    executor_options.moe_backend = from.moe_backend;
    executor_options.max_num_tokens = from.max_num_tokens;
    executor_options.max_batch_size = from.max_batch_size;
    executor_options.max_seq_len = from.max_seq_len;
    executor_options.tokens_per_block = from.tokens_per_block;
    executor_options.num_blocks = from.num_kv_blocks;
  };
  resolved = resolve_config(options, model.config, dtype, team->size(),
                            {.available_bytes =
                                 [&](const ResolvedConfig& known) {
                                   fill(known);
                                   return gpu.free_bytes() - gpu.workspace_bytes(executor_options);
                                 },
                             .default_fraction = 0.9,
                             // Prefill attention reads longer runs: 7 to 15 % faster than 16.
                             .default_tokens_per_block = 64});
  fill(resolved);
  device_description = "GPU 0, " + gpu.device_name();
  return timed("KV cache, workspace and graphs",
               [&] { return gpu.make_executor(executor_options, *team); });
}

std::unique_ptr<Executor> LLM::Impl::make_other_executor(const ExecutorFactory& factory) {
  constexpr int64_t kAny = int64_t{1} << 40;  // no memory is taken
  resolved = resolve_config(options, model.config, model.dtype, team->size(),
                            {.available_bytes = [](const ResolvedConfig&) { return kAny; }});
  std::unique_ptr<Executor> executor = factory(model.config, resolved, tokenizer);
  device_description = executor->describe_moe();
  return executor;
}

namespace {

// Of options.forward; empty where the engine's own model runs.
ExecutorFactory forward_factory(const LlmOptions& options) {
  if (!options.forward) return nullptr;
  return [forward = options.forward, name = options.forward_name](
             const Glm4MoeConfig& config, const ResolvedConfig&,
             const std::shared_ptr<const Tokenizer>& tokenizer) {
    return std::make_unique<ForwardExecutor>(config, forward, name,
                                             tokenizer ? tokenizer->vocab_size() : 0);
  };
}

}  // namespace

LLM::Impl::Impl(LlmOptions opts, const ExecutorFactory& factory) : options(std::move(opts)) {
  check_options(options);
  const int64_t threads = options.num_threads > 0 ? options.num_threads : env::get().num_threads;
  team = std::make_shared<ThreadTeam>(static_cast<int>(threads));
  on_gpu = !factory && timed("looking for a GPU", [&] { return runs_on_gpu(); });
  model = timed("reading the model", [&] { return load_model(options, *team, on_gpu || factory); });
  const std::string text_folder = options.tokenizer.empty() ? model.folder : options.tokenizer;
  if (!text_folder.empty() && Tokenizer::present_in(text_folder)) {
    tokenizer = timed("tokenizer", [&] {
      return std::make_shared<const Tokenizer>(Tokenizer::from_folder(text_folder));
    });
    chat_template = ChatTemplate::from_folder(text_folder);
  } else if (!options.tokenizer.empty()) {
    fail(ErrorCode::kNotFound, "{}: no tokenizer.json in this folder", options.tokenizer);
  }
  std::unique_ptr<Executor> executor =
      factory  ? make_other_executor(factory)
      : on_gpu ? make_gpu_executor()
               : timed("KV cache and workspace", [&] { return make_cpu_executor(); });
  resolved.notes.insert(resolved.notes.begin(), notes.begin(), notes.end());
  for (const std::string& note : resolved.notes) log::info("{}", note);
  backend_description = executor->describe_moe();

  EngineOptions engine_options{.scheduler = {.max_batch_size = resolved.max_batch_size,
                                             .max_num_tokens = resolved.max_num_tokens,
                                             .max_seq_len = resolved.max_seq_len},
                               .num_blocks = resolved.num_kv_blocks,
                               .tokens_per_block = resolved.tokens_per_block,
                               .enable_block_reuse = options.kv_cache.enable_block_reuse,
                               .plan_ahead = options.plan_ahead.value_or(on_gpu),
                               .max_queued_requests = options.max_queued_requests,
                               .vocab_size = model.config.vocab_size,
                               .sampling_defaults = model.sampling_defaults,
                               .eos_token_ids = model.config.eos_token_ids,
                               .seed = options.seed != 0 ? options.seed : std::random_device{}()};
  engine = std::make_shared<Engine>(engine_options, std::move(executor), tokenizer);
}

LLM::LLM(LlmOptions options) {
  const ExecutorFactory factory = forward_factory(options);
  if (factory) options.kv_cache.enable_block_reuse = false;
  impl_ = std::make_unique<Impl>(std::move(options), factory);
}
LLM::LLM(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LLM::LLM(LLM&&) noexcept = default;
LLM& LLM::operator=(LLM&&) noexcept = default;
LLM::~LLM() = default;

LLM LlmFactory::make(LlmOptions options, const ExecutorFactory& factory) {
  return LLM(std::make_unique<LLM::Impl>(std::move(options), factory));
}

ResponseStream LLM::submit(Request request) {
  return ResponseStream(std::make_unique<ResponseStream::Impl>(
      ResponseStream::Impl{impl_->engine, impl_->engine->submit(request)}));
}

std::vector<ResponseStream> LLM::submit_all(const std::vector<Request>& requests) {
  std::vector<ResponseStream> streams;
  streams.reserve(requests.size());
  for (std::shared_ptr<RequestState>& state : impl_->engine->submit_all(requests)) {
    streams.push_back(ResponseStream(std::make_unique<ResponseStream::Impl>(
        ResponseStream::Impl{impl_->engine, std::move(state)})));
  }
  return streams;
}

void LLM::cancel(uint64_t request_id) { impl_->engine->cancel(request_id); }

RequestOutput LLM::generate(const Prompt& prompt, const SamplingParams& sampling) {
  return submit_all({{.prompt = prompt, .sampling = sampling}}).front().result();
}

std::vector<RequestOutput> LLM::generate(const std::vector<Prompt>& prompts,
                                         const SamplingParams& sampling) {
  return generate(prompts, std::vector<SamplingParams>(prompts.size(), sampling));
}

std::vector<RequestOutput> LLM::generate(const std::vector<Prompt>& prompts,
                                         const std::vector<SamplingParams>& sampling) {
  if (sampling.size() != prompts.size()) {
    fail_argument("{} prompts came with {} sampling parameters: one for all or one each is wanted",
                  prompts.size(), sampling.size());
  }
  std::vector<Request> requests;
  requests.reserve(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    requests.push_back({.prompt = prompts[i], .sampling = sampling[i]});
  }
  std::vector<ResponseStream> streams = submit_all(requests);
  std::vector<RequestOutput> outputs;
  outputs.reserve(streams.size());
  for (ResponseStream& stream : streams) outputs.push_back(stream.result());
  return outputs;
}

std::string LLM::render_chat(const std::string& messages_json, const ChatOptions& options) const {
  return impl_->need_template().render(messages_json, options);
}

std::vector<int32_t> LLM::encode_chat(const std::string& messages_json,
                                      const ChatOptions& options) const {
  const ChatTemplate& chat_template = impl_->need_template();
  return glmoe::encode_chat(*impl_->need_tokenizer(), chat_template, messages_json, options);
}

ChatParser LLM::chat_parser(const std::vector<int32_t>& prompt_token_ids,
                            const ChatParserOptions& options) const {
  return ChatParser(
      std::make_unique<ChatParser::Impl>(impl_->need_tokenizer(), prompt_token_ids, options));
}

std::vector<int32_t> LLM::tokenize(const std::string& text) const {
  return impl_->need_tokenizer()->encode(text);
}

std::string LLM::detokenize(const std::vector<int32_t>& ids, bool skip_special_tokens) const {
  return impl_->need_tokenizer()->decode(ids, skip_special_tokens);
}

std::string LLM::token_bytes(int32_t id) const {
  return std::string(impl_->need_tokenizer()->token_bytes(id));
}

void LLM::Impl::check_rows(const std::vector<std::vector<int32_t>>& input_ids) const {
  for (const std::vector<int32_t>& row : input_ids) {
    const auto length = static_cast<int64_t>(row.size());
    if (length == 0 || length > resolved.max_seq_len) {
      fail_argument("a row of {} tokens: 1 to {} were wanted", length, resolved.max_seq_len);
    }
    for (const int32_t id : row) {
      if (id < 0 || id >= model.config.vocab_size) {
        fail_argument("token id {} is out of range: 0 to {} were wanted", id,
                      model.config.vocab_size - 1);
      }
    }
  }
}

std::vector<Tensor> LLM::Impl::prompt_rows(PromptRows what,
                                           const std::vector<std::vector<int32_t>>& input_ids) {
  check_rows(input_ids);
  std::vector<Tensor> all;
  engine->run_when_idle([&](Executor& executor) {
    for (const std::vector<int32_t>& row : input_ids) {
      all.push_back(executor.prompt_rows(what, row, resolved.max_num_tokens));
    }
  });
  return all;
}

std::vector<std::vector<float>> LLM::logits(const std::vector<std::vector<int32_t>>& input_ids) {
  impl_->check_rows(input_ids);
  std::vector<std::vector<float>> all;
  impl_->engine->run_when_idle([&](Executor& executor) {
    for (const std::vector<int32_t>& row : input_ids) {
      all.push_back(executor.logits(row, impl_->resolved.max_num_tokens));
    }
  });
  return all;
}

std::vector<Tensor> LLM::logits_tensors(const std::vector<std::vector<int32_t>>& input_ids) {
  return impl_->prompt_rows(PromptRows::kLogits, input_ids);
}

std::vector<Tensor> LLM::hidden_states(const std::vector<std::vector<int32_t>>& input_ids) {
  return impl_->prompt_rows(PromptRows::kHiddenStates, input_ids);
}

const Glm4MoeConfig& LLM::config() const { return impl_->model.config; }
int64_t LLM::max_seq_len() const { return impl_->resolved.max_seq_len; }

std::string LLM::weight_dtype() const {
  return std::string(dtype_long_name(impl_->resolved.weight_dtype));
}

std::string LLM::compute_dtype() const {
  return std::string(dtype_long_name(impl_->resolved.compute_dtype));
}

ExpertCounts LLM::expert_counts() const {
  ExpertCounts counts;
  impl_->engine->run_between_steps([&](Executor& executor, uint64_t steps) {
    counts = {.steps = steps, .tokens = executor.expert_counts()};
  });
  return counts;
}

std::string LLM::device() const { return impl_->device_description; }
bool LLM::on_gpu() const { return impl_->on_gpu; }
std::vector<StartupPhase> LLM::startup() const { return impl_->startup; }

EngineStats LLM::stats() const { return impl_->engine->stats(); }

std::string LLM::describe() const {
  const ResolvedConfig& resolved = impl_->resolved;
  std::string text = fmt::format(
      "model: {} ({}, loaded in {:.0f} ms)\n"
      "device: {}\n"
      "weights: {}\ncompute: {}\nmoe_backend: {}\n"
      "max_batch_size: {}\nmax_num_tokens: {}\nmax_seq_len: {}\n"
      "kv_cache: {} blocks of {} tokens\n",
      impl_->model.folder.empty() ? "dummy" : impl_->model.folder, impl_->model.source_kind,
      impl_->model.load_ms, impl_->device_description, dtype_long_name(resolved.weight_dtype),
      dtype_long_name(resolved.compute_dtype), impl_->backend_description, resolved.max_batch_size,
      resolved.max_num_tokens, resolved.max_seq_len, resolved.num_kv_blocks,
      resolved.tokens_per_block);
  for (const std::string& note : resolved.notes) text += "note: " + note + "\n";
  return text;
}

}  // namespace glmoe
