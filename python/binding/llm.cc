// LlmOptions and the engine itself. Every call that may take long runs without the GIL.
#include "glmoe/llm.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <utility>

#include "python/binding/bind.h"
#include "python/binding/engine_handle.h"
#include "python/binding/fields.h"
#include "python/binding/stream.h"
#include "python/binding/type_casts.h"

namespace glmoe::python {
namespace {

// Runs `work(llm)` without the GIL. The LLM is let go of without it, too: it may be the last hold.
template <class Work>
auto without_gil(const EngineHandle& self, const Work& work) {
  nb::gil_scoped_release release;
  const std::shared_ptr<LLM> llm = self.get();
  return work(*llm);
}

void bind_options(nb::module_& m) {
  using O = LlmOptions;
  Fields<O>(m, "LlmOptions", "What LLM() takes; the defaults are those of C++.")
      .add("model", &O::model, "Hugging Face folder, converted folder or engine.")
      .add("tokenizer", &O::tokenizer, "Folder with tokenizer.json; empty: the model's own.")
      .add("backend", &O::backend, "auto, cpu or cuda.")
      .add("tensor_parallel_size", &O::tensor_parallel_size, "Ranks.")
      .add("pipeline_parallel_size", &O::pipeline_parallel_size, "Ranks.")
      .add("expert_parallel_size", &O::expert_parallel_size, "Ranks.")
      .add("moe_backend", &O::moe_backend, "AUTO, CUTLASS, TRTLLM, VANILLA or WIDEEP.")
      .add("dtype", &O::dtype, "Computed in: auto, float32, bfloat16 or float16.")
      .add("quantization", &O::quantization, "None: as the model's folder says.")
      .add("load_format", &O::load_format, "auto, or dummy: random weights of config's shapes.")
      .add("config", &O::config, "With load_format dummy.")
      .add("num_threads", &O::num_threads, "0: one a physical core.")
      .add("max_batch_size", &O::max_batch_size, "Sequences in one step.")
      .add("max_num_tokens", &O::max_num_tokens, "Tokens in one step; also the prefill chunk.")
      .add("max_seq_len", &O::max_seq_len, "Tokens of prompt and answer; 0: the model's.")
      .add("kv_cache_config", &O::kv_cache, "Size and use of the KV cache.")
      .add("verify_checksums", &O::verify_checksums, "Of an engine's blobs, while loading.")
      .add("cuda_graphs", &O::cuda_graphs, "On a GPU: decode steps as captured graphs.")
      .add("plan_ahead", &O::plan_ahead, "The next step is planned early. None: on a GPU.")
      .add("max_queued_requests", &O::max_queued_requests, "More are refused; generate() waits.")
      .add("seed", &O::seed, "Of requests that bring none; 0: from the system.")
      .finish();
}

void bind_stats(nb::module_& m) {
  using S = EngineStats;
  nb::class_<S>(m, "EngineStats", "What the engine has done and holds.")
      .def_ro("num_running", &S::num_running)
      .def_ro("num_waiting", &S::num_waiting)
      .def_ro("kv_blocks_total", &S::kv_blocks_total)
      .def_ro("kv_blocks_free", &S::kv_blocks_free)
      .def_ro("kv_blocks_cached", &S::kv_blocks_cached, "Free, but holding a reusable prefix.")
      .def_ro("steps", &S::steps)
      .def_ro("generated_tokens", &S::generated_tokens)
      .def_ro("prompt_tokens", &S::prompt_tokens)
      .def_ro("preemptions", &S::preemptions)
      .def_ro("prefix_cache_queries", &S::prefix_cache_queries, "Prompt tokens looked up.")
      .def_ro("prefix_cache_hits", &S::prefix_cache_hits, "Of those, found.")
      .def_ro("prefix_cache_evictions", &S::prefix_cache_evictions, "Blocks.")
      .def_ro("cancellations", &S::cancellations, "Sequences.")
      .def_ro("timeouts", &S::timeouts, "Sequences.")
      .def_ro("failure", &S::failure, "Not empty: why no further request can run.");
  nb::class_<ExpertCounts>(m, "ExpertCounts", "Tokens that went to each expert since loading.")
      .def_ro("steps", &ExpertCounts::steps, "Run until then.")
      .def_ro("tokens", &ExpertCounts::tokens,
              "[layers][experts]; an empty list for a layer without experts.");
  nb::class_<StartupPhase>(m, "StartupPhase", "One phase of loading.")
      .def_ro("name", &StartupPhase::name)
      .def_ro("ms", &StartupPhase::ms)
      .def("__repr__", [](const StartupPhase& self) {
        return "StartupPhase(name=" + repr_of(nb::cast(self.name)) +
               ", ms=" + repr_of(nb::cast(self.ms)) + ")";
      });
}

// One SamplingParams for all prompts, or one each.
std::vector<Request> make_requests(const nb::list& prompts, const nb::list& sampling,
                                   int32_t priority, double timeout_ms,
                                   const std::string& cache_salt) {
  if (sampling.size() != 1 && sampling.size() != prompts.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                std::to_string(prompts.size()) + " prompts came with " +
                    std::to_string(sampling.size()) +
                    " sampling parameters: one for all or one each is wanted");
  }
  std::vector<Request> requests;
  requests.reserve(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    const nb::handle params = sampling[sampling.size() == 1 ? 0 : i];
    if (!nb::isinstance<SamplingParams>(params)) {
      throw_wrong_type("sampling_params", "each", "SamplingParams", params);
    }
    requests.push_back({.prompt = cast_prompt(prompts[i]),
                        .sampling = nb::cast<const SamplingParams&>(params),
                        .priority = priority,
                        .timeout_ms = timeout_ms,
                        .cache_salt = cache_salt});
  }
  return requests;
}

nb::list submit(EngineHandle& self, const nb::list& prompts, const nb::list& sampling,
                int32_t priority, double timeout_ms, const std::string& cache_salt) {
  const std::vector<Request> requests =
      make_requests(prompts, sampling, priority, timeout_ms, cache_salt);
  std::vector<ResponseStream> streams =
      without_gil(self, [&](LLM& llm) { return llm.submit_all(requests); });
  nb::list handles;
  for (ResponseStream& stream : streams) {
    handles.append(nb::cast(new StreamHandle(std::move(stream)), nb::rv_policy::take_ownership));
  }
  return handles;
}

// LLM::render_chat and LLM::encode_chat, with ChatOptions one by one.
template <class Result>
auto chat_call(Result (LLM::*method)(const std::string&, const ChatOptions&) const) {
  return [method](EngineHandle& self, const std::string& messages, const std::string& tools,
                  bool prompt, std::optional<bool> thinking, const std::string& kwargs) {
    return without_gil(self, [&](LLM& llm) {
      return (llm.*method)(messages, {.tools_json = tools,
                                      .add_generation_prompt = prompt,
                                      .enable_thinking = thinking,
                                      .template_kwargs_json = kwargs});
    });
  };
}

void bind_requests(nb::class_<EngineHandle>& engine) {
  using E = EngineHandle;
  engine
      .def("submit", &submit, nb::arg("prompts"), nb::arg("sampling_params"), nb::arg("priority"),
           nb::arg("timeout_ms"), nb::arg("cache_salt"),
           nb::sig("def submit(self, prompts: list[object], sampling_params: "
                   "list[SamplingParams], priority: int, timeout_ms: float, cache_salt: str) -> "
                   "list[Stream]"),
           "Queues all, or raises before any runs.")
      .def("render_chat", chat_call(&LLM::render_chat), nb::arg("messages_json"),
           nb::arg("tools_json"), nb::arg("add_generation_prompt"),
           nb::arg("enable_thinking").none(), nb::arg("template_kwargs_json"))
      .def("encode_chat", chat_call(&LLM::encode_chat), nb::arg("messages_json"),
           nb::arg("tools_json"), nb::arg("add_generation_prompt"),
           nb::arg("enable_thinking").none(), nb::arg("template_kwargs_json"))
      .def(
          "chat_parser",
          [](E& self, const std::vector<int32_t>& ids, const std::string& tools) {
            return without_gil(
                self, [&](LLM& llm) { return llm.chat_parser(ids, {.tools_json = tools}); });
          },
          nb::arg("prompt_token_ids"), nb::arg("tools_json"))
      .def(
          "tokenize",
          [](E& self, const std::string& text) {
            return without_gil(self, [&](LLM& llm) { return llm.tokenize(text); });
          },
          nb::arg("text"))
      .def(
          "detokenize",
          [](E& self, const std::vector<int32_t>& ids, bool skip) {
            return without_gil(self, [&](LLM& llm) { return llm.detokenize(ids, skip); });
          },
          nb::arg("token_ids"), nb::arg("skip_special_tokens"))
      .def(
          "token_bytes",
          [](E& self, int32_t id) {
            const std::string bytes = self.get()->token_bytes(id);
            return nb::bytes(bytes.data(), bytes.size());
          },
          nb::arg("token_id"));
}

void bind_queries(nb::class_<EngineHandle>& engine) {
  using E = EngineHandle;
  engine.def("config", [](E& self) { return Glm4MoeConfig(self.get()->config()); })
      .def("max_seq_len", [](E& self) { return self.get()->max_seq_len(); })
      .def("weight_dtype", [](E& self) { return self.get()->weight_dtype(); })
      .def("compute_dtype", [](E& self) { return self.get()->compute_dtype(); })
      .def("device", [](E& self) { return self.get()->device(); })
      .def("on_gpu", [](E& self) { return self.get()->on_gpu(); })
      .def("startup", [](E& self) { return self.get()->startup(); })
      .def("describe", [](E& self) { return self.get()->describe(); })
      .def("stats", [](E& self) { return self.get()->stats(); })
      .def("expert_counts",
           [](E& self) { return without_gil(self, [](LLM& llm) { return llm.expert_counts(); }); });
}

}  // namespace

void bind_llm(nb::module_& m) {
  bind_options(m);
  bind_stats(m);
  using E = EngineHandle;
  nb::class_<E> engine(m, "Engine", nb::is_weak_referenceable(), "A loaded model. Thread-safe.");
  engine
      .def(
          "__init__",
          [](E* self, const LlmOptions& options) {
            nb::gil_scoped_release release;
            new (self) E(options);
          },
          nb::arg("options"))
      .def(
          "shutdown",
          [](E& self) {
            nb::gil_scoped_release release;
            self.shutdown();
          },
          "Cancels what still runs and frees the model.")
      .def("is_shut_down", &E::is_shut_down);
  bind_requests(engine);
  bind_queries(engine);
}

}  // namespace glmoe::python
