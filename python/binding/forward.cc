// LlmOptions.forward: a Python function as the model's forward pass (glmoe/forward.h).
#include "glmoe/forward.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "glmoe/llm.h"
#include "python/binding/bind.h"
#include "python/binding/python_function.h"

namespace glmoe::python {
namespace {

// function(sequences, released, logits): sequences as (id, token_ids, start_position,
// num_logit_rows), logits a memoryview of floats to be filled.
class PythonForward {
 public:
  explicit PythonForward(nb::object function) : function_(keep_alive(std::move(function))) {}

  void operator()(const ForwardBatch& batch, std::span<float> logits) const {
    nb::gil_scoped_acquire gil;
    nb::list sequences;
    for (const ForwardSequence& sequence : batch.sequences) {
      sequences.append(nb::make_tuple(sequence.id, sequence.token_ids, sequence.start_position,
                                      sequence.num_logit_rows));
    }
    LentView view(logits.data(), logits.size_bytes(), true, "f");
    std::string error;
    try {
      (*function_)(sequences, batch.released, view.view());
    } catch (nb::python_error& raised) {
      error = take_error(raised);
    }
    view.close("the logits");
    if (!error.empty()) throw std::runtime_error(error);
  }

 private:
  std::shared_ptr<nb::object> function_;
};

}  // namespace

void bind_forward(nb::module_& m) {
  m.def(
      "set_forward",
      [](LlmOptions& options, nb::object function, const std::string& name) {
        options.forward = PythonForward(std::move(function));
        options.forward_name = name;
      },
      nb::arg("options"), nb::arg("function"), nb::arg("name"),
      "function(sequences, released, logits) runs in the place of the engine's model.");
}

}  // namespace glmoe::python
