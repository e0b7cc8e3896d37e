// Arguments of a call, and their binding to parameter names.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace glmoe::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Python's TypeErrors for what does not fit.
class Bound {
 public:
  // `names` in order; those before `required` must be given.
  Bound(std::string_view function, const Arguments& arguments,
        std::initializer_list<std::string_view> names, size_t required = 0);

  const Value* find(size_t index) const { return values_[index]; }  // nullptr: not given
  const Value& at(size_t index) const { return *values_[index]; }   // a required one
  bool flag(size_t index, bool fallback) const {
    return values_[index] ? truthy(*values_[index]) : fallback;
  }
  int64_t integer(size_t index, int64_t fallback) const;
  std::string string(size_t index, std::string_view fallback) const;
  bool given(size_t index) const {  // and not None
    return values_[index] != nullptr && !values_[index]->is_none();
  }

 private:
  std::string function_;
  std::vector<const Value*> values_;
};

}  // namespace glmoe::jinja
