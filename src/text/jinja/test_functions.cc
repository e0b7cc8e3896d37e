// Jinja's tests: what may follow `is`.
#include <fmt/format.h>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/unicode.h"

namespace glmoe::jinja {
namespace {

using Kind = Value::Kind;

const Value& subject(Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    throw RenderError{"this test takes no argument"};
  }
  return arguments.positional[0];
}

template <Kind kind>
bool is_kind(Interpreter&, Arguments& arguments) {
  return subject(arguments).is(kind);
}

template <bool wanted>
bool is_bool(Interpreter&, Arguments& arguments) {
  const Value& value = subject(arguments);
  return value.is(Kind::kBool) && value.as_bool() == wanted;
}

bool is_defined(Interpreter&, Arguments& arguments) { return !subject(arguments).is_undefined(); }
bool is_number(Interpreter&, Arguments& arguments) { return subject(arguments).is_number(); }
bool is_sequence(Interpreter&, Arguments& arguments) {
  const Value& value = subject(arguments);  // an undefined value has length and index, in Jinja
  return value.is_sequence_like() || value.is_string() || value.is_dict() || value.is_undefined();
}
bool is_iterable_test(Interpreter&, Arguments& arguments) {
  return is_iterable(subject(arguments));
}

template <bool upper_case>
bool has_case(Interpreter&, Arguments& arguments) {
  const std::string text = to_str(subject(arguments));
  return text == (upper_case ? upper(text) : lower(text)) && upper(text) != lower(text);
}

// Python's remainder of a whole number: the sign of the divisor.
template <int rest>
bool is_parity(Interpreter& interpreter, Arguments& arguments) {
  const Value& value = subject(arguments);
  require_defined(value);
  const Value two(2);
  return same(interpreter, binary(interpreter, "%", value, two), Value(rest));
}

bool is_divisible(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("divisibleby", arguments, {"value", "num"}, 2);
  return same(interpreter, binary(interpreter, "%", bound.at(0), bound.at(1)), Value(0));
}

const Bound both(const Arguments& arguments) {
  return Bound("comparison", arguments, {"value", "other"}, 2);
}
bool is_equal(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound = both(arguments);
  return same(interpreter, bound.at(0), bound.at(1));
}
bool is_unequal(Interpreter& interpreter, Arguments& arguments) {
  return !is_equal(interpreter, arguments);
}
template <char op, bool or_equal>
bool is_ordered(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound = both(arguments);
  const int sign = order(interpreter, bound.at(0), bound.at(1), op == '<' ? "<" : ">");
  return sign == (op == '<' ? -1 : 1) || (or_equal && sign == 0);
}
bool is_in(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound = both(arguments);
  return contains(interpreter, bound.at(1), bound.at(0));
}
bool is_same(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound = both(arguments);
  const Value &a = bound.at(0), &b = bound.at(1);
  return a.kind() == b.kind() &&
         (a.identity() ? a.identity() == b.identity() : same(interpreter, a, b));
}
// The name of a filter or test; Python looks it up in a dict, so that it must be hashable.
const std::string* looked_up(Arguments& arguments) {
  const Value& name = subject(arguments);
  if (name.is_dict() || name.is_list(Flavor::kList) || name.is_list(Flavor::kDictView)) {
    throw RenderError{fmt::format("unhashable type: '{}'", type_name(name))};
  }
  return name.is_string() ? &name.as_string() : nullptr;
}
bool is_filter(Interpreter&, Arguments& arguments) {
  const std::string* name = looked_up(arguments);
  return name != nullptr && find_filter(*name) != nullptr;
}
bool is_test(Interpreter&, Arguments& arguments) {
  const std::string* name = looked_up(arguments);
  return name != nullptr && find_test(*name) != nullptr;
}
bool is_callable(Interpreter&, Arguments& arguments) {  // Jinja's undefined values count
  return subject(arguments).is(Kind::kCallable) || subject(arguments).is_undefined();
}

struct Entry {
  std::string_view name;
  Test test;
};
constexpr Entry kTests[] = {
    {"!=", is_unequal},
    {"<", is_ordered<'<', false>},
    {"<=", is_ordered<'<', true>},
    {"==", is_equal},
    {">", is_ordered<'>', false>},
    {">=", is_ordered<'>', true>},
    {"boolean", is_kind<Kind::kBool>},
    {"callable", is_callable},
    {"defined", is_defined},
    {"divisibleby", is_divisible},
    {"eq", is_equal},
    {"equalto", is_equal},
    {"even", is_parity<0>},
    {"false", is_bool<false>},
    {"filter", is_filter},
    {"float", is_kind<Kind::kFloat>},
    {"ge", is_ordered<'>', true>},
    {"greaterthan", is_ordered<'>', false>},
    {"gt", is_ordered<'>', false>},
    {"in", is_in},
    {"integer", is_kind<Kind::kInt>},
    {"iterable", is_iterable_test},
    {"le", is_ordered<'<', true>},
    {"lessthan", is_ordered<'<', false>},
    {"lower", has_case<false>},
    {"lt", is_ordered<'<', false>},
    {"mapping", is_kind<Kind::kDict>},
    {"ne", is_unequal},
    {"none", is_kind<Kind::kNone>},
    {"number", is_number},
    {"odd", is_parity<1>},
    {"sameas", is_same},
    {"sequence", is_sequence},
    {"string", is_kind<Kind::kString>},
    {"test", is_test},
    {"true", is_bool<true>},
    {"undefined", is_kind<Kind::kUndefined>},
    {"upper", has_case<true>},
};

}  // namespace

Test find_test(std::string_view name) {
  for (const Entry& entry : kTests) {
    if (entry.name == name) return entry.test;
  }
  return nullptr;
}

}  // namespace glmoe::jinja
