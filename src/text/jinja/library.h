// Jinja's built-in filters, tests, methods and functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/interpreter.h"
#include "text/jinja/value.h"

namespace glmoe::jinja {

using Filter = Value (*)(Interpreter&, Arguments&);  // positional[0] is the filtered value
using Test = bool (*)(Interpreter&, Arguments&);

// nullptr for an unknown name. find_filter asks the other two as well.
Filter find_filter(std::string_view name);
Filter find_string_filter(std::string_view name);  // filters_text.cc
Filter find_number_filter(std::string_view name);  // filters_number.cc
Test find_test(std::string_view name);

// The method of a string, list or dict, bound to it; nullopt where Python has none by that name.
std::optional<Value> find_method(const Value& object, std::string_view name);
Value call_string_method(Interpreter& interpreter, const std::string& self, std::string_view name,
                         const Arguments& arguments);
bool has_string_method(std::string_view name);

// range, dict, namespace, raise_exception, strftime_now, cycler, joiner: what every template sees.
void add_globals(Interpreter& interpreter);

// A native function as a value.
Value function(std::string_view name, Value (*body)(Interpreter&, Arguments&));

// --- string helpers shared by filters and methods (strings.cc) ---
std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);  // str.title()
// Strips characters of `set`, or white space where it is null.
std::string_view strip(std::string_view text, const std::string* set, bool left, bool right);
std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t count);
std::vector<std::string_view> split_lines(std::string_view text);
std::vector<std::string_view> characters(std::string_view text);

// json.dumps as `transformers` calls it for tojson: not escaped for HTML.
struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // one level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
std::string to_json(Interpreter& interpreter, const Value& value, const JsonStyle& style);

}  // namespace glmoe::jinja
