// How parts of an output become Python values.
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "glmoe/output.h"

namespace glmoe::python {

namespace nb = nanobind;

nb::object finish_reason(FinishReason reason);      // None while there is none
nb::object stop_reason(const std::string& reason);  // None where it is empty
// list[dict[int, Logprob]], or None where it is empty.
nb::object logprobs(const std::vector<PositionLogprobs>& positions);

// __getstate__ and __setstate__: pickle and copy (output_state.cc).
void bind_state(nb::class_<TokenLogprob>& cls);
void bind_state(nb::class_<RequestMetrics>& cls);
void bind_state(nb::class_<CompletionOutput>& cls);
void bind_state(nb::class_<RequestOutput>& cls);
void bind_state(nb::class_<OutputDelta>& cls);

}  // namespace glmoe::python
