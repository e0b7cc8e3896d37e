// SamplingParams, KvCacheConfig and the forms in which a prompt may come.
#include "glmoe/request.h"

#include <nanobind/nanobind.h>

#include "glmoe/llm.h"
#include "python/binding/bind.h"
#include "python/binding/fields.h"
#include "python/binding/logits_processor.h"
#include "python/binding/type_casts.h"

namespace glmoe::python {
namespace {

bool cast_stop(SamplingParams& self, nb::handle value) {
  if (!nb::isinstance<nb::str>(value)) return cast_member(value, self.stop);
  self.stop.resize(1);
  return nb::try_cast(value, self.stop[0]);
}

// An object whose method is the logits processor of its own SamplingParams is a cycle through C++,
// which the collector must be able to see and to cut.
int visit_sampling(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  const auto* params = nb::inst_ptr<SamplingParams>(self);
  return visit_logits_processor(params->logits_processor, visit, arg);
}

int clear_sampling(PyObject* self) {
  if (!nb::inst_ready(self)) return 0;
  LogitsProcessor last;
  nb::inst_ptr<SamplingParams>(self)->logits_processor.swap(last);
  return 0;
}

void bind_sampling(nb::module_& m) {
  using S = SamplingParams;
  static PyType_Slot slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(&visit_sampling)},
                                {Py_tp_clear, reinterpret_cast<void*>(&clear_sampling)},
                                {0, nullptr}};
  Fields<S> fields(m, "SamplingParams",
                   "How an answer's tokens are chosen. temperature 0 is greedy. What is None takes "
                   "the model's generation_config.json, else the value in brackets. Values are "
                   "checked when a request is made: Error (invalid_argument) names the field.",
                   nb::type_slots(slots));
  fields.add("max_tokens", &S::max_tokens, "Generated tokens at most.")
      .add("min_tokens", &S::min_tokens, "Stop ids and strings are ignored before this many.")
      .add("temperature", &S::temperature, "0 to 100 [1.0]; 0 is greedy.")
      .add("top_k", &S::top_k, "Only the k most likely tokens; 0 or -1: all [0].")
      .add("top_p", &S::top_p, "Above 0, up to 1 [1.0].")
      .add("min_p", &S::min_p, "0 to 1 [0.0], relative to the most likely token.")
      .add("repetition_penalty", &S::repetition_penalty, "Above 0 [1.0], over prompt and output.")
      .add("presence_penalty", &S::presence_penalty, "-2 to 2, over the output.")
      .add("frequency_penalty", &S::frequency_penalty, "-2 to 2, over the output.")
      .add("seed", &S::seed, "None: drawn from the engine's own generator.")
      .add("n", &S::n, "Answers, 1 to 128; answer i of a seeded request uses (seed, i).")
      .add_custom({.name = "stop",
                   .type = "list[str]",
                   .wanted = "str | list[str] | None",
                   .doc = "Strings that end an answer, at most 16.",
                   .set = &cast_stop,
                   .get = [](const S& self) { return nb::cast(self.stop); }})
      .add("stop_token_ids", &S::stop_token_ids, "Tokens that end it, beside the model's own.")
      .add("include_stop_str_in_output", &S::include_stop_str_in_output, "In the text.")
      .add("ignore_eos", &S::ignore_eos, "The model's own end tokens do not end an answer.")
      .add("skip_special_tokens", &S::skip_special_tokens,
           "In the text; token_ids always hold all.")
      .add("logit_bias", &S::logit_bias, "Token id -> added to its logit, -100 to 100.")
      .add("logprobs", &S::logprobs, "Alternatives a generated token, 0 to 20.")
      .add("prompt_logprobs", &S::prompt_logprobs, "Alternatives a prompt token, 0 to 20.")
      .add_custom({"logits_processor", "typing.Callable[..., object] | None",
                   "typing.Callable[..., object] | None",
                   "function(token_ids, logits): changes the logits before all else. Both are "
                   "memoryviews, of int32 and float32, for the time of the call.",
                   [](S& self, nb::handle value) {
                     return cast_logits_processor(value, self.logits_processor);
                   },
                   [](const S& self) { return logits_processor_object(self.logits_processor); }});
  fields.finish();
}

void bind_kv_cache(nb::module_& m) {
  using K = KvCacheConfig;
  Fields<K>(m, "KvCacheConfig", "Size and use of the KV cache.")
      .add("max_tokens", &K::max_tokens, "Tokens that it holds; 0: as many as fit.")
      .add("free_memory_fraction", &K::free_memory_fraction,
           "Of the memory free after loading the weights, where max_tokens is 0. None: 0.5 on the "
           "CPU, 0.9 on a GPU.")
      .alias("free_gpu_memory_fraction", "Another name of free_memory_fraction.")
      .add("tokens_per_block", &K::tokens_per_block, "0: 64 on a GPU, 16 on the CPU.")
      .add("enable_block_reuse", &K::enable_block_reuse,
           "Prefixes computed before are shared by later requests.")
      .finish();
}

std::vector<int32_t> cast_ids(nb::handle value) {
  std::vector<int32_t> ids;
  nb::object list = nb::borrow(value);
  if (nb::hasattr(value, "tolist")) list = value.attr("tolist")();
  if (!nb::try_cast(list, ids)) {
    throw_wrong_type("prompt", "token ids", "list[int] (32 bits each)", value);
  }
  return ids;
}

Prompt cast_text(nb::handle value) {
  Prompt prompt;
  if (!nb::try_cast(value, prompt.text)) {
    PyErr_Clear();
    throw_wrong_type("prompt", "text", "str without lone surrogates", value);
  }
  return prompt;
}

}  // namespace

Prompt cast_prompt(nb::handle value) {
  if (nb::isinstance<nb::str>(value)) return cast_text(value);
  if (nb::isinstance<nb::dict>(value)) {
    const auto fields = nb::borrow<nb::dict>(value);
    if (fields.size() == 1 && fields.contains("prompt")) return cast_text(fields["prompt"]);
    if (fields.size() == 1 && fields.contains("prompt_token_ids")) {
      return cast_ids(fields["prompt_token_ids"]);
    }
    throw_wrong_type("prompt", "dict", "{'prompt': str} or {'prompt_token_ids': list[int]}", value);
  }
  if (PySequence_Check(value.ptr()) || nb::hasattr(value, "tolist")) return cast_ids(value);
  throw_wrong_type("prompt", "each", "str, list[int] or a dict of one of them", value);
}

void bind_request(nb::module_& m) {
  bind_sampling(m);
  bind_kv_cache(m);
}

}  // namespace glmoe::python
