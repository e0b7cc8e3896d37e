// Jinja's filters that make numbers.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"

namespace glmoe::jinja {
namespace {

Value abs_filter(Interpreter&, Arguments& arguments) {
  const Bound bound("abs", arguments, {"value"}, 1);
  const Value& value = bound.at(0);
  if (value.is_integer()) return value.as_int() < 0 ? negate(value, true) : Value(value.as_int());
  require_defined(value);
  if (!value.is_number())
    throw RenderError{fmt::format("bad operand type for abs(): '{}'", type_name(value))};
  return std::fabs(value.as_double());
}

std::optional<double> parse_float(std::string_view text) {
  text = strip(text, nullptr, true, true);
  if (text.substr(0, 1) == "+") text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> parse_int(std::string_view text, int base) {
  text = strip(text, nullptr, true, true);
  if (text.substr(0, 1) == "+") text.remove_prefix(1);
  if (base == 16 && (text.substr(0, 2) == "0x" || text.substr(0, 2) == "0X")) text.remove_prefix(2);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> truncated(double value) {
  if (!(std::fabs(value) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(value);
}

Value int_filter(Interpreter&, Arguments& arguments) {
  const Bound bound("int", arguments, {"value", "default", "base"}, 1);
  const Value& value = bound.at(0);
  require_defined(value);
  const int64_t base = bound.integer(2, 10);
  if (base < 2 || base > 36) throw RenderError{"int: base must be from 2 to 36"};
  std::optional<int64_t> result;
  if (value.is_integer()) {
    result = value.as_int();
  } else if (value.is_number()) {
    result = truncated(value.as_double());
  } else if (value.is_string()) {
    result = parse_int(value.as_string(), static_cast<int>(base));
    if (!result) {
      if (const auto number = parse_float(value.as_string())) result = truncated(*number);
    }
  }
  if (result) return *result;
  return bound.find(1) ? bound.at(1) : Value(0);
}

Value float_filter(Interpreter&, Arguments& arguments) {
  const Bound bound("float", arguments, {"value", "default"}, 1);
  const Value& value = bound.at(0);
  require_defined(value);
  if (value.is_number()) return value.as_double();
  if (value.is_string()) {
    if (const auto number = parse_float(value.as_string())) return *number;
  }
  return bound.find(1) ? bound.at(1) : Value(0.0);
}

Value round_filter(Interpreter&, Arguments& arguments) {
  const Bound bound("round", arguments, {"value", "precision", "method"}, 1);
  const Value& value = bound.at(0);
  require_defined(value);
  if (!value.is_number()) throw RenderError{"round: a number was wanted"};
  const int64_t precision = bound.integer(1, 0);
  const std::string method = bound.string(2, "common");
  if (method != "common" && method != "ceil" && method != "floor") {
    throw RenderError{"round: method must be common, ceil or floor"};
  }
  if (precision < -300 || precision > 300) throw RenderError{"round: precision out of range"};
  if (method != "common") {
    const double scale = std::pow(10.0, static_cast<double>(precision));
    const double scaled = value.as_double() * scale;
    return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale;
  }
  if (value.is_integer() && precision >= 0) return value.as_int();
  if (precision < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-precision));
    const double rounded = std::nearbyint(value.as_double() / scale) * scale;
    if (!value.is_integer()) return rounded;
    return Value(static_cast<int64_t>(rounded));
  }
  if (!std::isfinite(value.as_double())) return value;
  // Python rounds the exact decimal expansion, as printf does.
  const std::string text = fmt::format("{:.{}f}", value.as_double(), precision);
  double rounded = 0;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return rounded;
}

}  // namespace

Filter find_number_filter(std::string_view name) {
  if (name == "abs") return abs_filter;
  if (name == "float") return float_filter;
  if (name == "int") return int_filter;
  if (name == "round") return round_filter;
  return nullptr;
}

}  // namespace glmoe::jinja
