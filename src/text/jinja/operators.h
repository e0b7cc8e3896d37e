// Python's operators, indexing and iteration over values.
#pragma once

#include <string_view>
#include <vector>

#include "text/jinja/interpreter.h"
#include "text/jinja/value.h"

namespace glmoe::jinja {

// op is one of + - * / // % **.
Value binary(Interpreter& interpreter, std::string_view op, const Value& left, const Value& right);
Value negate(const Value& value, bool minus);
// -1, 0 or 1; 2 where one of them is NaN. Throws where Python has no order for them.
int order(Interpreter& interpreter, const Value& left, const Value& right, std::string_view op,
          int depth = 0);
bool same(Interpreter& interpreter, const Value& left, const Value& right);  // ==, work counted
bool contains(Interpreter& interpreter, const Value& container, const Value& item);
Value slice(Interpreter& interpreter, const Value& object, const Value& start, const Value& stop,
            const Value& step);
// Items of a list, keys of a dict, characters of a string, nothing of an undefined value.
std::vector<Value> iterate(Interpreter& interpreter, const Value& value);
bool is_iterable(const Value& value);
// len(). Throws for what has none.
int64_t length(const Value& value);
Value element(Interpreter& interpreter, const Value& sequence, int64_t index);  // or undefined

// Throws with the reason why an undefined value is not there; returns otherwise.
void require_defined(const Value& value);

}  // namespace glmoe::jinja
