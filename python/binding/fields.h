// Plain C++ structs as Python classes: keyword arguments with the C++ defaults, attributes, repr,
// ==, copy and pickle, from one list of members.
//
//   Fields<KvCacheConfig>(m, "KvCacheConfig", "...")
//       .add("max_tokens", &KvCacheConfig::max_tokens, "0: as many as fit")
//       .finish();
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "python/binding/type_names.h"

namespace glmoe::python {

namespace nb = nanobind;

// A TypeError for a keyword that `owner` does not have, naming those that look like it.
[[noreturn]] void throw_unknown_keyword(const std::string& owner, const std::string& found,
                                        const std::vector<std::string>& known);
// "owner: name: an int was wanted, found 'ten'".
[[noreturn]] void throw_wrong_type(const std::string& owner, const std::string& name,
                                   const std::string& wanted, nb::handle found);
std::string repr_of(nb::handle value);
// A default as signatures show it: a literal, or "..." for an object of a class.
std::string default_text(nb::handle value);

template <class M>
constexpr bool is_container = false;
template <class E>
constexpr bool is_container<std::vector<E>> = true;
template <class K, class V>
constexpr bool is_container<std::map<K, V>> = true;

// False: the type is wrong. None empties a container.
template <class M>
bool cast_member(nb::handle value, M& member) {
  if constexpr (is_container<M>) {
    if (value.is_none()) {
      member.clear();
      return true;
    }
  }
  // A str is a sequence of str, but no list.
  if constexpr (std::is_same_v<M, std::vector<std::string>>) {
    if (nb::isinstance<nb::str>(value)) return false;
  }
  return nb::try_cast<M>(value, member);
}

template <class T>
class Fields {
 public:
  struct Field {
    std::string name;
    std::string type;    // what it is
    std::string wanted;  // what it may be set to
    std::string doc;
    std::function<bool(T&, nb::handle)> set;  // false: the type is wrong
    std::function<nb::object(const T&)> get;
    bool is_alias = false;  // a second name: no part of repr, == and pickle
  };

  // `extra`: what nb::class_ takes, nb::type_slots for example.
  template <class... Extra>
  Fields(nb::module_& m, const char* name, const char* doc, const Extra&... extra)
      : name_(name), doc_(doc), class_(m, name, extra...) {}

  template <class M>
  Fields& add(const char* name, M T::*member, const char* doc) {
    const std::string type = python_type<M>();
    return add_custom(
        {name, type, is_container<M> ? type + " | None" : type, doc,
         [member](T& self, nb::handle value) { return cast_member(value, self.*member); },
         [member](const T& self) { return nb::cast(self.*member); }});
  }
  Fields& add_custom(Field field) {
    fields_.push_back(std::move(field));
    return *this;
  }
  // A second name of the field added last.
  Fields& alias(const char* name, const char* doc) {
    Field field = fields_.back();
    field.name = name;
    field.doc = doc;
    field.is_alias = true;
    return add_custom(std::move(field));
  }
  // The first `count` fields may be given by position.
  Fields& positional(size_t count) {
    num_positional_ = count;
    return *this;
  }
  // Called on what a constructor has filled; may throw.
  Fields& checked(std::function<void(T&)> check) {
    check_ = std::move(check);
    return *this;
  }
  nb::class_<T>& finish();

 private:
  struct Table;  // what the Python methods keep
  std::string signature(const Table& table) const;

  std::string name_, doc_;
  nb::class_<T> class_;
  std::vector<Field> fields_;
  size_t num_positional_ = 0;
  std::function<void(T&)> check_;
};

template <class T>
struct Fields<T>::Table {
  std::string name;
  std::vector<Field> fields;
  size_t num_positional = 0;
  std::function<void(T&)> check;

  const Field& find(const std::string& wanted) const {
    for (const Field& field : fields) {
      if (field.name == wanted) return field;
    }
    std::vector<std::string> known;
    for (const Field& field : fields) known.push_back(field.name);
    throw_unknown_keyword(name, wanted, known);
  }
  void assign(T& self, const Field& field, nb::handle value) const {
    if (!field.set(self, value)) throw_wrong_type(name, field.name, field.wanted, value);
  }
  void fill(T& self, const nb::args& args, const nb::kwargs& kwargs) const {
    if (args.size() > num_positional) {
      throw nb::type_error(
          (name + "() takes keyword arguments" +
           (num_positional > 0 ? " after the first " + std::to_string(num_positional)
                               : std::string()))
              .c_str());
    }
    for (size_t i = 0; i < args.size(); ++i) assign(self, fields[i], args[i]);
    for (const auto& [key, value] : kwargs) {
      assign(self, find(nb::cast<std::string>(key)), value);
    }
    if (check) check(self);
  }
  nb::dict to_dict(const T& self) const {
    nb::dict values;
    for (const Field& field : fields) {
      if (!field.is_alias) values[field.name.c_str()] = field.get(self);
    }
    return values;
  }
  // Only what differs from the default.
  std::string to_string(const T& self) const {
    const T plain{};
    std::string text;
    for (const Field& field : fields) {
      if (field.is_alias) continue;
      const nb::object value = field.get(self);
      if (value.equal(field.get(plain))) continue;
      text += (text.empty() ? "" : ", ") + field.name + "=" + repr_of(value);
    }
    return name + "(" + text + ")";
  }
  bool equal(const T& a, const T& b) const {
    for (const Field& field : fields) {
      if (!field.get(a).equal(field.get(b))) return false;
    }
    return true;
  }
};

template <class T>
std::string Fields<T>::signature(const Table& table) const {
  const T plain{};
  std::string text = "def __init__(self";
  for (size_t i = 0; i < table.fields.size(); ++i) {
    if (i == table.num_positional) text += ", *";
    const Field& field = table.fields[i];
    text += ", " + field.name + ": " + field.wanted + " = " + default_text(field.get(plain));
  }
  return text + ") -> None";
}

template <class T>
nb::class_<T>& Fields<T>::finish() {
  // Lives as long as the class, which is as long as the process.
  const Table& table = *new Table{name_, std::move(fields_), num_positional_, std::move(check_)};
  class_.doc() = doc_.c_str();
  class_.def(
      "__init__",
      [&table](T* self, const nb::args& args, const nb::kwargs& kwargs) {
        new (self) T();
        try {
          table.fill(*self, args, kwargs);
        } catch (...) {
          self->~T();
          throw;
        }
      },
      nb::sig(signature(table).c_str()));
  for (const Field& field : table.fields) {
    class_.def_prop_rw(
        field.name.c_str(), [&field](const T& self) { return field.get(self); },
        [&table, &field](T& self, nb::object value) { table.assign(self, field, value); },
        nb::for_getter(nb::sig(("def " + field.name + "(self, /) -> " + field.type).c_str())),
        nb::for_setter(nb::arg("value").none()),
        nb::for_setter(nb::sig(
            ("def " + field.name + "(self, value: " + field.wanted + ", /) -> None").c_str())),
        field.doc.c_str());
  }
  class_.def("__repr__", [&table](const T& self) { return table.to_string(self); });
  class_.def(
      "__eq__",
      [&table](const T& self, nb::handle other) -> nb::object {
        if (!nb::isinstance<T>(other)) return nb::borrow(Py_NotImplemented);
        return nb::bool_(table.equal(self, nb::cast<const T&>(other)));
      },
      nb::sig("def __eq__(self, other: object, /) -> bool"));
  class_.attr("__hash__") = nb::none();
  class_.def(
      "__getstate__", [&table](const T& self) { return table.to_dict(self); },
      nb::sig("def __getstate__(self) -> dict[str, object]"));
  class_.def(
      "__setstate__",
      [&table](T* self, const nb::dict& state) {
        new (self) T();
        for (const auto& [key, value] : state) {
          table.assign(*self, table.find(nb::cast<std::string>(key)), value);
        }
      },
      nb::sig("def __setstate__(self, state: dict[str, object], /) -> None"));
  class_.def(
      "replaced",
      [&table](const T& self, const nb::kwargs& kwargs) {
        T copy = self;
        table.fill(copy, nb::steal<nb::args>(PyTuple_New(0)), kwargs);
        return copy;
      },
      nb::sig(("def replaced(self, **kwargs: object) -> " + name_).c_str()),
      "A copy with these fields changed.");
  return class_;
}

}  // namespace glmoe::python
