// RequestOutput and CompletionOutput. They stay C++ objects: text, ids and log probabilities become
// Python values when they are asked for.
#include "glmoe/output.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdio>

#include "python/binding/bind.h"
#include "python/binding/output.h"

namespace glmoe::python {
namespace {

std::string short_repr(nb::handle value) {
  auto text = nb::cast<std::string>(nb::repr(value));
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

std::string logprob_repr(const TokenLogprob& self) {
  char text[80];
  std::snprintf(text, sizeof text, "Logprob(logprob=%.6g, rank=%lld)",
                static_cast<double>(self.logprob), static_cast<long long>(self.rank));
  return text;
}

std::string completion_repr(const CompletionOutput& self) {
  return "CompletionOutput(index=" + std::to_string(self.index) +
         ", text=" + short_repr(nb::cast(self.text)) + ", " +
         std::to_string(self.token_ids.size()) +
         " tokens, finish_reason=" + short_repr(finish_reason(self.finish_reason)) + ")";
}

void bind_completion(nb::module_& m) {
  using C = CompletionOutput;
  nb::class_<C> completion(m, "CompletionOutput", "One answer. str() is its text.");
  bind_state(completion);
  completion.def_ro("index", &C::index, "0 to n-1.")
      .def_ro("text", &C::text)
      .def_ro("token_ids", &C::token_ids, "With the stop token, if one ended the answer.")
      .def_prop_ro("num_tokens", [](const C& self) { return self.token_ids.size(); })
      .def_prop_ro(
          "finish_reason", [](const C& self) { return finish_reason(self.finish_reason); },
          nb::sig("def finish_reason(self) -> str | None"),
          "'stop', 'length', 'cancelled', 'timeout' or 'error'; None: not yet.")
      .def_prop_ro(
          "stop_reason", [](const C& self) { return stop_reason(self.stop_reason); },
          nb::sig("def stop_reason(self) -> str | None"),
          "The stop string, or the stop token's id in decimal.")
      .def_prop_ro(
          "error", [](const C& self) { return stop_reason(self.error); },
          nb::sig("def error(self) -> str | None"), "With finish_reason 'error': what went wrong.")
      .def_ro("cumulative_logprob", &C::cumulative_logprob,
              "Sum over the tokens; 0 where logprobs were not asked for.")
      .def_prop_ro(
          "logprobs", [](const C& self) { return logprobs(self.logprobs); },
          nb::sig("def logprobs(self) -> list[dict[int, Logprob]] | None"),
          "A dict a token: the token itself first, then the most likely alternatives.")
      .def("__str__", [](const C& self) { return self.text; })
      .def("__repr__", &completion_repr);
}

std::string output_repr(const RequestOutput& self) {
  std::string answers;
  for (const CompletionOutput& answer : self.outputs) {
    answers += (answers.empty() ? "" : ", ") + completion_repr(answer);
  }
  return "RequestOutput(request_id=" + std::to_string(self.request_id) +
         ", prompt=" + short_repr(nb::cast(self.prompt)) + ", " +
         std::to_string(self.prompt_token_ids.size()) + " prompt tokens, outputs=[" + answers +
         "])";
}

nb::list answers(nb::handle_t<RequestOutput> self) {
  nb::list list;
  for (CompletionOutput& answer : nb::cast<RequestOutput&>(self).outputs) {
    list.append(nb::cast(answer, nb::rv_policy::reference_internal, self));
  }
  return list;
}

void bind_metrics(nb::module_& m) {
  using M = RequestMetrics;
  nb::class_<M> metrics(m, "RequestMetrics", "Times of one request, in milliseconds.");
  bind_state(metrics);
  metrics.def_ro("queue_ms", &M::queue_ms, "Submitted until first scheduled.")
      .def_ro("first_token_ms", &M::first_token_ms, "Submitted until the first token.")
      .def_ro("total_ms", &M::total_ms)
      .def_ro("num_cached_tokens", &M::num_cached_tokens,
              "Tokens of the prompt that were found in the prefix cache.");
}

}  // namespace

nb::object finish_reason(FinishReason reason) {
  if (reason == FinishReason::kNone) return nb::none();
  const std::string_view name = finish_reason_name(reason);
  return nb::str(name.data(), name.size());
}

nb::object stop_reason(const std::string& reason) {
  return reason.empty() ? nb::object(nb::none())
                        : nb::object(nb::str(reason.c_str(), reason.size()));
}

nb::object logprobs(const std::vector<PositionLogprobs>& positions) {
  if (positions.empty()) return nb::none();
  nb::list list;
  for (const PositionLogprobs& position : positions) {
    nb::dict entries;
    for (const TokenLogprob& entry : position) entries[nb::int_(entry.token_id)] = nb::cast(entry);
    list.append(entries);
  }
  return list;
}

void bind_output(nb::module_& m) {
  nb::class_<TokenLogprob> logprob(m, "Logprob", "A token's log probability at one position.");
  bind_state(logprob);
  logprob.def_ro("token_id", &TokenLogprob::token_id)
      .def_ro("logprob", &TokenLogprob::logprob,
              "Natural logarithm, after penalties and before temperature.")
      .def_ro("rank", &TokenLogprob::rank, "1 is the most likely.")
      .def("__repr__", &logprob_repr);
  bind_completion(m);
  bind_metrics(m);
  using R = RequestOutput;
  nb::class_<R> output(m, "RequestOutput", "A prompt's answers. str() is the first one's text.");
  bind_state(output);
  output.def_ro("request_id", &R::request_id)
      .def_ro("prompt", &R::prompt, "Empty where token ids were given.")
      .def_ro("prompt_token_ids", &R::prompt_token_ids)
      .def_prop_ro("outputs", &answers, nb::sig("def outputs(self) -> list[CompletionOutput]"),
                   "The n answers.")
      .def_prop_ro(
          "prompt_logprobs", [](const R& self) { return logprobs(self.prompt_logprobs); },
          nb::sig("def prompt_logprobs(self) -> list[dict[int, Logprob]] | None"),
          "A dict a prompt token; the first is empty, since nothing precedes it.")
      .def_ro("metrics", &R::metrics)
      .def_prop_ro("finished", [](const R&) { return true; })
      .def("__str__",
           [](const R& self) { return self.outputs.empty() ? "" : self.outputs[0].text; })
      .def("__repr__", &output_repr);
}

}  // namespace glmoe::python
