// The public entry: load a model, generate text.
//
//   glmoe::LLM llm({.model = "models/glm4-moe-demo"});
//   std::cout << llm.generate("What is a violin?", {.max_tokens = 64}).outputs[0].text;
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "glmoe/chat.h"
#include "glmoe/config.h"
#include "glmoe/error.h"
#include "glmoe/forward.h"
#include "glmoe/output.h"
#include "glmoe/request.h"
#include "glmoe/tensor.h"

namespace glmoe {

struct KvCacheConfig {
  int64_t max_tokens = 0;  // 0: as many as fit
  // Of the memory free after loading the weights, where max_tokens is 0; empty: 0.5 on the CPU,
  // 0.9 on a GPU.
  std::optional<double> free_memory_fraction;
  int64_t tokens_per_block = 0;    // 0: 64 on a GPU, 16 on the CPU
  bool enable_block_reuse = true;  // prefixes computed before are shared by later requests
};

struct LlmOptions {
  std::string model;             // Hugging Face folder, converted folder or engine
  std::string tokenizer;         // folder with tokenizer.json; empty: the model's own
  std::string backend = "auto";  // cpu, cuda (one NVIDIA Hopper GPU), auto: cuda where there is one
  int64_t tensor_parallel_size = 1;
  int64_t pipeline_parallel_size = 1;
  int64_t expert_parallel_size = 1;
  std::string moe_backend = "AUTO";  // AUTO, CUTLASS, TRTLLM, VANILLA, WIDEEP
  std::string dtype = "auto";  // computed in: auto (the weights' own), float32, bfloat16, float16
  std::optional<QuantConfig> quantization;  // unset: as the model's folder says
  std::string load_format = "auto";         // auto, or dummy: random weights of `config`'s shapes
  std::optional<Glm4MoeConfig> config;      // with load_format dummy
  // Weights to be taken instead of the folder's: a model's state_dict under Hugging Face's names,
  // experts one by one or fused ([E, 2I, H], [E, H, I]), in memory of the CPU. What lies there as
  // the engine wants it is read in place for as long as the LLM lives, the rest is copied;
  // describe() says how much. `model` is then only the folder of config.json, tokenizer and
  // template; GPUs take a copy of all.
  std::vector<NamedTensor> state_dict;
  // A forward pass of the caller's own in the place of the engine's; no weights are loaded, `model`
  // is the folder of config.json, tokenizer and template (or `config` is given). Known prefixes are
  // not reused, and kv_cache only limits how many tokens run at a time. Empty: none.
  ForwardFunction forward;
  std::string forward_name = "a forward pass of the caller's own";  // for describe()
  int64_t num_threads = 0;                                          // 0: one a physical core
  int64_t max_batch_size = 64;                                      // sequences in one step
  int64_t max_num_tokens = 2048;  // tokens in one step; also the prefill chunk
  int64_t max_seq_len = 0;        // 0: the model's max_position_embeddings
  KvCacheConfig kv_cache;
  bool verify_checksums = true;  // of an engine's blobs, while loading
  bool cuda_graphs = true;       // on a GPU: decode steps as captured graphs
  // The next step is planned before the tokens of the running one are known, so that the device
  // need not wait for the host; an answer that ends by an end token costs one row more. Unset: on a
  // GPU.
  std::optional<bool> plan_ahead;
  int64_t max_queued_requests = 1024;  // more are refused with kUnavailable; generate() waits
  uint64_t seed = 0;                   // of requests that bring none; 0: from the system
};

struct EngineStats {
  int64_t num_running = 0;
  int64_t num_waiting = 0;
  int64_t kv_blocks_total = 0;
  int64_t kv_blocks_free = 0;
  uint64_t steps = 0;
  uint64_t generated_tokens = 0;
  uint64_t prompt_tokens = 0;
  uint64_t preemptions = 0;
  int64_t kv_blocks_cached = 0;         // free, but holding a prefix that can be reused
  uint64_t prefix_cache_queries = 0;    // prompt tokens looked up
  uint64_t prefix_cache_hits = 0;       // of those, found
  uint64_t prefix_cache_evictions = 0;  // blocks
  uint64_t cancellations = 0;           // sequences
  uint64_t timeouts = 0;                // sequences
  // Not empty: why no further request can run (a GPU was lost); all are refused with it.
  std::string failure;
};

// How many tokens went to each expert since the model was loaded, padding not counted.
struct ExpertCounts {
  uint64_t steps = 0;                         // run until then
  std::vector<std::vector<uint64_t>> tokens;  // [L][E]; empty for dense layers
};

// One phase of loading a model, in the order in which they were run.
struct StartupPhase {
  std::string name;
  double ms = 0.0;
};

// Deltas of one submitted request. Move-only; destroying it before the end cancels the request.
class ResponseStream {
 public:
  ResponseStream(ResponseStream&&) noexcept;
  ResponseStream& operator=(ResponseStream&&) noexcept;
  ~ResponseStream();

  uint64_t request_id() const;
  const std::vector<int32_t>& prompt_token_ids() const;
  // Blocks for the next delta; false after the last one. Throws only kInternal.
  bool next(OutputDelta& delta);
  // Takes the next delta if there is one, without waiting.
  bool try_next(OutputDelta& delta);
  // Waits until a delta is there or all have been taken, `timeout_ms` at most; false: neither yet.
  bool wait(double timeout_ms);
  // The same for the request's end, after which result() returns at once.
  bool wait_finished(double timeout_ms);
  // True once the last delta has been taken.
  bool done() const;
  // `ready` is called from the engine's thread whenever a delta comes while none was waiting (and
  // at once if one is); it must be quick, must not throw and must not call this stream.
  void notify(std::function<void()> ready);
  // So far: complete once the request has finished.
  RequestMetrics metrics() const;
  // Complete before the first answer's first delta; empty where they were not asked for.
  std::vector<PositionLogprobs> prompt_logprobs() const;
  // Reads to the end and returns the whole output.
  RequestOutput result();
  void cancel();

 private:
  friend class LLM;
  struct Impl;
  explicit ResponseStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Thread-safe: any thread may call any method at any time.
class LLM {
 public:
  // Loads the model; throws glmoe::Error with everything that is wrong.
  explicit LLM(LlmOptions options);
  LLM(LLM&&) noexcept;
  LLM& operator=(LLM&&) noexcept;
  ~LLM();  // cancels what still runs

  // Blocks until all are done. One SamplingParams serves all prompts, or one each.
  // Throws kInvalidArgument for a bad prompt or parameter, before anything runs.
  RequestOutput generate(const Prompt& prompt, const SamplingParams& sampling = {});
  std::vector<RequestOutput> generate(const std::vector<Prompt>& prompts,
                                      const SamplingParams& sampling = {});
  std::vector<RequestOutput> generate(const std::vector<Prompt>& prompts,
                                      const std::vector<SamplingParams>& sampling);

  // Queues a request and returns at once.
  [[nodiscard]] ResponseStream submit(Request request);
  // Queues all, or throws before any runs, as generate() does; the queue is never too full for
  // them.
  [[nodiscard]] std::vector<ResponseStream> submit_all(const std::vector<Request>& requests);
  void cancel(uint64_t request_id);

  // Renders the model's chat template. `messages_json`: a JSON array in OpenAI's form; tool-call
  // arguments may be objects or JSON strings. Throws kInvalidArgument, or kUnsupported without a
  // template.
  std::string render_chat(const std::string& messages_json, const ChatOptions& options = {}) const;
  // The same as token ids. Unlike tokenize(render_chat(...)), text of users, systems and tools that
  // spells a markup token (such as <|assistant|>) stays text, so that it can't open a turn;
  // ChatOptions::allow_special_tokens gives that up.
  std::vector<int32_t> encode_chat(const std::string& messages_json,
                                   const ChatOptions& options = {}) const;
  // Takes apart the answer to a prompt (its ids tell whether the answer begins inside <think>).
  ChatParser chat_parser(const std::vector<int32_t>& prompt_token_ids,
                         const ChatParserOptions& options = {}) const;
  std::vector<int32_t> tokenize(const std::string& text) const;
  std::string detokenize(const std::vector<int32_t>& ids, bool skip_special_tokens = false) const;
  // The raw bytes of one token, perhaps part of a character; empty for an id without a token.
  std::string token_bytes(int32_t id) const;

  // Logits of every position of each row, [B][T*V] float32, in one go; for `verify` and tests.
  std::vector<std::vector<float>> logits(const std::vector<std::vector<int32_t>>& input_ids);
  // The same as tensors on the engine's device, [T, V] float32 each, which own their memory.
  std::vector<Tensor> logits_tensors(const std::vector<std::vector<int32_t>>& input_ids);
  // What the head reads, after the final norm, of every position of each row: [T, H], float32 on
  // the CPU, of the computing type on a GPU. Tensors as above.
  std::vector<Tensor> hidden_states(const std::vector<std::vector<int32_t>>& input_ids);

  const Glm4MoeConfig& config() const;
  int64_t max_seq_len() const;        // tokens of prompt and answer together, as resolved
  std::string weight_dtype() const;   // "bfloat16", ...: of the matrices in memory
  std::string compute_dtype() const;  // what the forward pass rounds to
  EngineStats stats() const;
  // Waits for the step that runs: the counts are those between two steps.
  ExpertCounts expert_counts() const;
  std::string device() const;  // "CPU, 8 threads", "GPU 0, NVIDIA H100 80GB HBM3"
  bool on_gpu() const;
  std::vector<StartupPhase> startup() const;
  // The resolved configuration, one "name: value" a line: what runs, and why.
  std::string describe() const;

 private:
  friend struct LlmFactory;  // src/llm/llm_factory.h
  struct Impl;
  explicit LLM(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace glmoe
