// Pickling (and copying) of what a request gives, so that outputs may go to other processes.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "glmoe/output.h"
#include "python/binding/output.h"

namespace glmoe::python {
namespace {

using Ids = std::vector<int32_t>;
using Positions = std::vector<PositionLogprobs>;

FinishReason reason_of(int64_t number) {
  if (number < 0 || number > static_cast<int64_t>(FinishReason::kTimeout)) {
    throw nb::value_error("a pickled answer has a finish reason that is not known here");
  }
  return static_cast<FinishReason>(number);
}

// `to`: the state of an object as a tuple; `from`: an object of such a tuple.
template <class T, class State>
void add_state(nb::class_<T>& cls, State (*to)(const T&), T (*from)(State)) {
  cls.def(
      "__getstate__", [to](const T& self) { return to(self); },
      nb::sig("def __getstate__(self) -> tuple[object, ...]"));
  cls.def(
      "__setstate__", [from](T* self, State state) { new (self) T(from(std::move(state))); },
      nb::sig("def __setstate__(self, state: tuple[object, ...], /) -> None"));
}

using LogprobState = std::tuple<int32_t, float, int64_t>;
using MetricsState = std::tuple<double, double, double, int64_t>;
using CompletionState =
    std::tuple<int64_t, std::string, Ids, int64_t, std::string, std::string, double, Positions>;
using OutputState = std::tuple<uint64_t, std::string, Ids, std::vector<CompletionOutput>, Positions,
                               RequestMetrics>;
using DeltaState = std::tuple<uint64_t, int64_t, std::string, Ids, bool, Positions, int64_t,
                              std::string, std::string, bool>;

}  // namespace

void bind_state(nb::class_<TokenLogprob>& cls) {
  using T = TokenLogprob;
  add_state<T, LogprobState>(
      cls, [](const T& t) { return LogprobState(t.token_id, t.logprob, t.rank); },
      [](LogprobState s) { return std::make_from_tuple<T>(s); });
}

void bind_state(nb::class_<RequestMetrics>& cls) {
  using M = RequestMetrics;
  add_state<M, MetricsState>(
      cls,
      [](const M& m) {
        return MetricsState(m.queue_ms, m.first_token_ms, m.total_ms, m.num_cached_tokens);
      },
      [](MetricsState s) { return std::make_from_tuple<M>(s); });
}

void bind_state(nb::class_<CompletionOutput>& cls) {
  using C = CompletionOutput;
  add_state<C, CompletionState>(
      cls,
      [](const C& c) {
        return CompletionState(c.index, c.text, c.token_ids, static_cast<int64_t>(c.finish_reason),
                               c.stop_reason, c.error, c.cumulative_logprob, c.logprobs);
      },
      [](CompletionState s) {
        auto& [index, text, ids, reason, stop, error, cumulative, logprobs] = s;
        return C{index,           std::move(text),  std::move(ids), reason_of(reason),
                 std::move(stop), std::move(error), cumulative,     std::move(logprobs)};
      });
}

void bind_state(nb::class_<RequestOutput>& cls) {
  using R = RequestOutput;
  add_state<R, OutputState>(
      cls,
      [](const R& r) {
        return OutputState(r.request_id, r.prompt, r.prompt_token_ids, r.outputs, r.prompt_logprobs,
                           r.metrics);
      },
      [](OutputState s) { return std::make_from_tuple<R>(std::move(s)); });
}

void bind_state(nb::class_<OutputDelta>& cls) {
  using D = OutputDelta;
  add_state<D, DeltaState>(
      cls,
      [](const D& d) {
        return DeltaState(d.request_id, d.index, d.text, d.token_ids, d.skip_special_tokens,
                          d.logprobs, static_cast<int64_t>(d.finish_reason), d.stop_reason, d.error,
                          d.request_finished);
      },
      [](DeltaState s) {
        auto& [id, index, text, ids, skip, logprobs, reason, stop, error, finished] = s;
        return D{id,
                 index,
                 std::move(text),
                 std::move(ids),
                 skip,
                 std::move(logprobs),
                 reason_of(reason),
                 std::move(stop),
                 std::move(error),
                 finished};
      });
}

}  // namespace glmoe::python
