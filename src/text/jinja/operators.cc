#include "text/jinja/operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/library.h"
#include "text/unicode.h"

namespace glmoe::jinja {
namespace {

[[noreturn]] void overflow() { throw RenderError{"a whole number does not fit in 64 bits"}; }

[[noreturn]] void unsupported_operands(std::string_view op, const Value& left, const Value& right) {
  require_defined(left);
  require_defined(right);
  throw RenderError{fmt::format("unsupported operand types for {}: '{}' and '{}'", op,
                                type_name(left), type_name(right))};
}

int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

double python_mod(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return rest;
}

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) throw RenderError{"0 cannot be raised to a negative power"};
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  int64_t result = 1;
  for (int64_t factor = base; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, factor, &result)) overflow();
    if (exponent > 1 && __builtin_mul_overflow(factor, factor, &factor)) overflow();
  }
  return result;
}

Value integer_binary(char op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == '+' && !__builtin_add_overflow(a, b, &result)) return result;
  if (op == '-' && !__builtin_sub_overflow(a, b, &result)) return result;
  if (op == '*' && !__builtin_mul_overflow(a, b, &result)) return result;
  if (op == '+' || op == '-' || op == '*') overflow();
  if (b == 0) throw RenderError{"division by zero"};
  if (a == INT64_MIN && b == -1) overflow();
  if (op == 'f') return floor_divide(a, b);
  return a - b * floor_divide(a, b);
}

Value float_binary(char op, double a, double b) {
  if ((op == '/' || op == 'f' || op == '%') && b == 0) throw RenderError{"division by zero"};
  switch (op) {
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    case '/': return a / b;
    case 'f': return std::floor(a / b);
    case '%': return python_mod(a, b);
    default: {
      const double result = std::pow(a, b);
      if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) {
        throw RenderError{"a power with a complex result"};
      }
      return result;
    }
  }
}

Value repeat(Interpreter& interpreter, const Value& what, int64_t times) {
  const auto count = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  constexpr uint64_t kMaxRepeats = uint64_t{1} << 26;  // more is over every limit below anyway
  const uint64_t size = what.is_string() ? what.as_string().size() : what.as_list().items.size();
  if (size > 0 && count > kMaxRepeats / size) throw RenderError{"a repetition that is too long"};
  interpreter.step(1 + static_cast<size_t>(count * size / 16));
  if (what.is_string()) {
    std::string text;
    if (size > 0) {
      for (uint64_t i = 0; i < count; ++i) text += what.as_string();
    }
    return interpreter.make_string(std::move(text));
  }
  std::vector<Value> items;
  const auto& from = what.as_list().items;
  if (size > 0) {
    for (uint64_t i = 0; i < count; ++i) items.insert(items.end(), from.begin(), from.end());
  }
  return interpreter.make_list(std::move(items), what.as_list().flavor);
}

bool is_concrete_list(const Value& value) {
  return value.is_list(Flavor::kList) || value.is_list(Flavor::kTuple);
}

Value add(Interpreter& interpreter, const Value& left, const Value& right) {
  if (left.is_string() && right.is_string()) {
    std::string text;
    text.reserve(left.as_string().size() + right.as_string().size());
    text += left.as_string();
    text += right.as_string();
    return interpreter.make_string(std::move(text));
  }
  if (is_concrete_list(left) && is_concrete_list(right) &&
      left.as_list().flavor == right.as_list().flavor) {
    std::vector<Value> items = left.as_list().items;
    const auto& more = right.as_list().items;
    items.insert(items.end(), more.begin(), more.end());
    return interpreter.make_list(std::move(items), left.as_list().flavor);
  }
  unsupported_operands("+", left, right);
}

// Python's slice.indices(): start and step count over `size` elements.
struct SliceRange {
  int64_t start, step, count;
};

int64_t slice_bound(const Value& value, int64_t fallback) {
  if (value.is_none()) return fallback;
  require_defined(value);
  if (!value.is_integer()) throw RenderError{"slice bounds must be whole numbers or none"};
  return value.as_int();
}

SliceRange slice_range(int64_t size, const Value& start, const Value& stop, const Value& step) {
  const int64_t by = slice_bound(step, 1);
  if (by == 0) throw RenderError{"slice step cannot be zero"};
  const auto clamp = [&](int64_t index) {
    if (index < 0) index = index < -size ? -1 : index + size;
    return by > 0 ? std::clamp<int64_t>(index, 0, size) : std::clamp<int64_t>(index, -1, size - 1);
  };
  const int64_t first = start.is_none() ? (by > 0 ? 0 : size - 1) : clamp(slice_bound(start, 0));
  const int64_t end = stop.is_none() ? (by > 0 ? size : -1) : clamp(slice_bound(stop, 0));
  int64_t count = 0;
  if (by > 0 && end > first) count = (end - first - 1) / by + 1;
  if (by < 0 && end < first) {
    // -by overflows for the smallest number; a step that large takes one element.
    count = by == INT64_MIN ? 1 : (first - end - 1) / -by + 1;
  }
  return {first, by, count};
}

}  // namespace

void require_defined(const Value& value) {
  if (value.is_undefined()) throw RenderError{std::string(value.undefined_hint())};
}

Value binary(Interpreter& interpreter, std::string_view op, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    const bool integers = left.is_integer() && right.is_integer();
    if (op == "**") {
      if (integers) return integer_power(left.as_int(), right.as_int());
      return float_binary('p', left.as_double(), right.as_double());
    }
    const char code = op == "//" ? 'f' : op[0];
    if (integers && code != '/') return integer_binary(code, left.as_int(), right.as_int());
    return float_binary(code, left.as_double(), right.as_double());
  }
  if (op == "+") return add(interpreter, left, right);
  if (op == "*") {
    const auto repeatable = [](const Value& v) { return v.is_string() || is_concrete_list(v); };
    if (repeatable(left) && right.is_integer()) return repeat(interpreter, left, right.as_int());
    if (repeatable(right) && left.is_integer()) return repeat(interpreter, right, left.as_int());
  }
  if (op == "%" && left.is_string()) {
    throw RenderError{"formatting with % is not supported; join strings with ~",
                      ErrorCode::kUnsupported};
  }
  unsupported_operands(op, left, right);
}

Value negate(const Value& value, bool minus) {
  require_defined(value);
  if (!value.is_number()) {
    throw RenderError{
        fmt::format("bad operand type for unary {}: '{}'", minus ? '-' : '+', type_name(value))};
  }
  if (value.is_integer()) {
    if (minus && value.as_int() == INT64_MIN) overflow();
    return minus ? -value.as_int() : value.as_int();
  }
  return minus ? -value.as_double() : value.as_double();
}

bool same(Interpreter& interpreter, const Value& left, const Value& right) {
  size_t work = 0;
  const bool result = equals(left, right, work);
  interpreter.step(work);
  return result;
}

int order(Interpreter& interpreter, const Value& left, const Value& right, std::string_view op,
          int depth) {
  if (depth > kMaxNesting) throw RenderError{"comparison of values nested too deeply"};
  const auto sign = [](const auto& a, const auto& b) { return a < b ? -1 : b < a ? 1 : 0; };
  if (left.is_integer() && right.is_integer()) return sign(left.as_int(), right.as_int());
  if (left.is_number() && right.is_number()) {
    const double a = left.as_double(), b = right.as_double();
    return std::isnan(a) || std::isnan(b) ? 2 : sign(a, b);
  }
  // UTF-8 sorts as its code points do.
  if (left.is_string() && right.is_string()) return sign(left.as_string(), right.as_string());
  if (is_concrete_list(left) && is_concrete_list(right) &&
      left.as_list().flavor == right.as_list().flavor) {
    const auto& a = left.as_list().items;
    const auto& b = right.as_list().items;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (!same(interpreter, a[i], b[i])) return order(interpreter, a[i], b[i], op, depth + 1);
    }
    return sign(a.size(), b.size());
  }
  require_defined(left);
  require_defined(right);
  throw RenderError{fmt::format("'{}' is not supported between '{}' and '{}'", op, type_name(left),
                                type_name(right))};
}

bool contains(Interpreter& interpreter, const Value& container, const Value& item) {
  interpreter.step();
  if (container.is_string()) {
    if (!item.is_string()) {
      require_defined(item);
      throw RenderError{
          fmt::format("'in <string>' needs a string on its left, not {}", type_name(item))};
    }
    interpreter.step(container.as_string().size() / 256);
    return container.as_string().find(item.as_string()) != std::string::npos;
  }
  if (container.is_dict()) return container.as_dict().find(item) != nullptr;
  if (container.is_undefined()) return false;
  if (!container.is_list()) {
    throw RenderError{fmt::format("argument of type '{}' is not iterable", type_name(container))};
  }
  for (const Value& other : container.as_list().items) {
    if (same(interpreter, other, item)) return true;
  }
  return false;
}

Value slice(Interpreter& interpreter, const Value& object, const Value& start, const Value& stop,
            const Value& step) {
  require_defined(object);
  if (object.is_string()) {
    const std::string& text = object.as_string();
    interpreter.step(1 + text.size() / 16);
    const auto letters = characters(text);
    const SliceRange range = slice_range(static_cast<int64_t>(letters.size()), start, stop, step);
    std::string out;
    for (int64_t i = 0; i < range.count; ++i) {
      out += letters[static_cast<size_t>(range.start + i * range.step)];
    }
    return interpreter.make_string(std::move(out));
  }
  if (!object.is_sequence_like()) {
    return Value::undefined(fmt::format("'{} object' cannot be sliced", type_name(object)));
  }
  const auto& items = object.as_list().items;
  const SliceRange range = slice_range(static_cast<int64_t>(items.size()), start, stop, step);
  std::vector<Value> out;
  for (int64_t i = 0; i < range.count; ++i) {
    out.push_back(items[static_cast<size_t>(range.start + i * range.step)]);
  }
  return interpreter.make_list(std::move(out), object.as_list().flavor);
}

bool is_iterable(const Value& value) {
  return value.is_list() || value.is_dict() || value.is_string() || value.is_undefined();
}

std::vector<Value> iterate(Interpreter& interpreter, const Value& value) {
  std::vector<Value> items;
  if (value.is_list()) {
    items = value.as_list().items;
  } else if (value.is_dict()) {
    for (const auto& entry : value.as_dict().entries()) items.push_back(entry.key);
  } else if (value.is_string()) {
    interpreter.step(value.as_string().size() / 4);
    for (const auto character : characters(value.as_string())) {
      items.emplace_back(std::string(character));
    }
  } else if (!value.is_undefined()) {
    throw RenderError{fmt::format("'{}' object is not iterable", type_name(value))};
  }
  interpreter.step(items.size() / 4);
  return items;
}

int64_t length(const Value& value) {
  if (value.is_string()) return static_cast<int64_t>(count_code_points(value.as_string()));
  if (value.is_dict()) return static_cast<int64_t>(value.as_dict().entries().size());
  if (value.is_list() && value.as_list().flavor != Flavor::kGenerator) {
    return static_cast<int64_t>(value.as_list().items.size());
  }
  if (value.is_undefined()) return 0;
  throw RenderError{fmt::format("object of type '{}' has no len()", type_name(value))};
}

Value element(Interpreter& interpreter, const Value& sequence, int64_t index) {
  const auto missing = [&] {
    return Value::undefined(
        fmt::format("'{} object' has no element {}", type_name(sequence), index));
  };
  if (sequence.is_list()) {
    const auto& items = sequence.as_list().items;
    const auto size = static_cast<int64_t>(items.size());
    if (index < 0) index += size;
    return index >= 0 && index < size ? items[static_cast<size_t>(index)] : missing();
  }
  const std::string& text = sequence.as_string();
  interpreter.step(1 + text.size() / 64);
  if (index < 0) index += static_cast<int64_t>(count_code_points(text));
  if (index < 0) return missing();
  size_t position = 0;
  while (position < text.size()) {
    const size_t begin = position;
    next_code_point(text, position);
    if (index-- == 0) return Value(text.substr(begin, position - begin));
  }
  return missing();
}

}  // namespace glmoe::jinja
