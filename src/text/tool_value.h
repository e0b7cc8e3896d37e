// The text of one argument of a tool call as JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/tool_schema.h"

namespace glmoe {

// JSON nested deeper than this is taken as a string.
constexpr int kMaxArgumentDepth = 64;

// The text between the quotes of a JSON string.
void append_json_escaped(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

// The type of a JSON text (white space around it is allowed); none where it is not JSON.
std::optional<JsonTypes> json_type(std::string_view text);

// A value that is not, or not only, a string:
// - where strings are allowed too: JSON of another allowed type, else the text as a string;
// - where they are not: JSON; else, and where a string was quoted, what the text amounts to as JSON
//   or as a literal of Python (True, None, 'a', (1, 2)); else the text as a string;
// - where nothing is known: JSON, else the text as a string.
// JSON keeps its spelling, so that long numbers keep their digits; as an integer, 5.0 becomes 5.
std::string json_value(std::string_view text, JsonTypes types);

// A literal of Python as JSON text; none where `text` is not one or JSON can't express it.
std::optional<std::string> python_literal_to_json(std::string_view text);

}  // namespace glmoe
