// The parts of the extension module, one function a topic; module.cc calls them in this order.
#pragma once

#include <nanobind/nanobind.h>

namespace glmoe::python {

void bind_errors(nanobind::module_& m);
void bind_quantization(nanobind::module_& m);
void bind_config(nanobind::module_& m);
void bind_request(nanobind::module_& m);
void bind_output(nanobind::module_& m);
void bind_stream(nanobind::module_& m);
void bind_chat(nanobind::module_& m);
void bind_llm(nanobind::module_& m);
void bind_tensors(nanobind::module_& m);

}  // namespace glmoe::python
