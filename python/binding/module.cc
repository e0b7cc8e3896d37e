// glmoe._glmoe: the public C++ API (include/glmoe) as a Python module. python/glmoe adds what is
// Python's own: argument forms, asyncio, progress bars.
#include "python/binding/bind.h"

NB_MODULE(_glmoe, m) {
  using namespace glmoe::python;  // NOLINT: the macro opens the function
  m.doc() = "The C++ engine's public API. Use the package glmoe, which is built on it.";
  m.attr("__version__") = GLMOE_VERSION;
  bind_errors(m);
  bind_quantization(m);
  bind_config(m);
  bind_request(m);
  bind_output(m);
  bind_stream(m);
  bind_chat(m);
  bind_llm(m);
  bind_tensors(m);
}
