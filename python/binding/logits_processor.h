// SamplingParams.logits_processor: a Python function that changes logits in place.
#pragma once

#include <nanobind/nanobind.h>

#include "glmoe/request.h"

namespace glmoe::python {

// None gives an empty one. False where `value` is neither None nor callable.
bool cast_logits_processor(nanobind::handle value, LogitsProcessor& processor);
// The function again; None for an empty one, or one that is not from Python.
nanobind::object logits_processor_object(const LogitsProcessor& processor);

}  // namespace glmoe::python
