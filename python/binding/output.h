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

}  // namespace glmoe::python
