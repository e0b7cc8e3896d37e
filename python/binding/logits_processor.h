// SamplingParams.logits_processor: a Python function that changes logits in place.
#pragma once

#include <nanobind/nanobind.h>

#include "glmoe/request.h"

namespace glmoe::python {

// None gives an empty one. False where `value` is neither None nor callable.
bool cast_logits_processor(nanobind::handle value, LogitsProcessor& processor);
// For tp_traverse of what holds `processor`. A function that other copies hold as well is not
// visited: the collector would count its one reference twice.
int visit_logits_processor(const LogitsProcessor& processor, visitproc visit, void* arg);
// The function again; None for an empty one, or one that is not from Python.
nanobind::object logits_processor_object(const LogitsProcessor& processor);

}  // namespace glmoe::python
