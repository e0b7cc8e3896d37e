#include "text/jinja/arguments.h"

#include <fmt/format.h>

namespace glmoe::jinja {

Bound::Bound(std::string_view function, const Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t required)
    : function_(function), values_(names.size(), nullptr) {
  if (arguments.positional.size() > names.size()) {
    throw RenderError{fmt::format("{}() takes at most {} arguments, {} were given", function,
                                  names.size(), arguments.positional.size())};
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    size_t i = 0;
    while (i < names.size() && names.begin()[i] != name) ++i;
    if (i == names.size()) {
      throw RenderError{fmt::format("{}() has no argument '{}'", function, name)};
    }
    if (values_[i] != nullptr) {
      throw RenderError{fmt::format("{}() got argument '{}' twice", function, name)};
    }
    values_[i] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i] == nullptr) {
      throw RenderError{fmt::format("{}() needs argument '{}'", function, names.begin()[i])};
    }
  }
}

int64_t Bound::integer(size_t index, int64_t fallback) const {
  if (values_[index] == nullptr) return fallback;
  if (!values_[index]->is_integer()) {
    throw RenderError{fmt::format("{}(): a whole number was wanted, found {}", function_,
                                  type_name(*values_[index]))};
  }
  return values_[index]->as_int();
}

std::string Bound::string(size_t index, std::string_view fallback) const {
  if (values_[index] == nullptr) return std::string(fallback);
  if (!values_[index]->is_string()) {
    throw RenderError{
        fmt::format("{}(): a string was wanted, found {}", function_, type_name(*values_[index]))};
  }
  return values_[index]->as_string();
}

}  // namespace glmoe::jinja
