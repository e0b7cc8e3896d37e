#include "python/binding/fields.h"

namespace glmoe::python {

std::string repr_of(nb::handle value) { return nb::cast<std::string>(nb::repr(value)); }

std::string default_text(nb::handle value) {
  const bool literal = value.is_none() || PyBool_Check(value.ptr()) ||
                       PyLong_CheckExact(value.ptr()) || PyFloat_CheckExact(value.ptr()) ||
                       PyUnicode_CheckExact(value.ptr()) || PyList_CheckExact(value.ptr()) ||
                       PyDict_CheckExact(value.ptr());
  return literal ? repr_of(value) : "...";
}

void throw_unknown_keyword(const std::string& owner, const std::string& found,
                           const std::vector<std::string>& known) {
  const nb::object message = nb::module_::import_("glmoe._arguments")
                                 .attr("unknown_keyword")(owner, found, nb::cast(known));
  throw nb::type_error(nb::cast<std::string>(message).c_str());
}

void throw_wrong_type(const std::string& owner, const std::string& name, const std::string& wanted,
                      nb::handle found) {
  std::string value = repr_of(found);
  if (value.size() > 60) value = value.substr(0, 57) + "...";
  throw nb::type_error(
      (owner + ": " + name + ": " + wanted + " was wanted, found " + value).c_str());
}

}  // namespace glmoe::python
