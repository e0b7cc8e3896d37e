// How the stubs write a C++ member's type: "int", "float | None", "list[str]", ...
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace glmoe::python {

// Specialised beside the binding of each class and enum.
template <class T>
struct PythonName;

template <class T>
std::string python_type();

template <class T>
struct TypeName {
  static std::string get() { return PythonName<T>::value; }
};
template <class T>
struct TypeName<std::optional<T>> {
  static std::string get() { return python_type<T>() + " | None"; }
};
template <class T>
struct TypeName<std::vector<T>> {
  static std::string get() { return "list[" + python_type<T>() + "]"; }
};
template <class K, class V>
struct TypeName<std::map<K, V>> {
  static std::string get() { return "dict[" + python_type<K>() + ", " + python_type<V>() + "]"; }
};

template <class T>
std::string python_type() {
  if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_integral_v<T>) {
    return "int";
  } else if constexpr (std::is_floating_point_v<T>) {
    return "float";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "str";
  } else {
    return TypeName<T>::get();
  }
}

}  // namespace glmoe::python
