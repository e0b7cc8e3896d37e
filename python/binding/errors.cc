// glmoe::Error becomes glmoe.Error (python/glmoe/_errors.py), with its code.
#include <nanobind/nanobind.h>

#include "glmoe/error.h"
#include "python/binding/bind.h"

namespace nb = nanobind;

namespace glmoe::python {

void bind_errors(nb::module_&) {
  nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
    try {
      std::rethrow_exception(pointer);
    } catch (const Error& error) {
      try {
        const nb::object type = nb::module_::import_("glmoe._errors").attr("Error");
        const std::string_view code = error_code_name(error.code());
        // Paths in messages need not be UTF-8.
        const nb::object message = nb::steal(PyUnicode_DecodeUTF8(
            error.what(), static_cast<Py_ssize_t>(std::string_view(error.what()).size()),
            "backslashreplace"));
        const nb::object value = type(message, nb::str(code.data(), code.size()));
        PyErr_SetObject(type.ptr(), value.ptr());
      } catch (nb::python_error& problem) {
        problem.restore();
      }
    }
  });
}

}  // namespace glmoe::python
