// Tokens to syntax tree.
#pragma once

#include <string>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace glmoe::jinja {

// Throws kCorrupt for a syntax error and kUnsupported for Jinja's tags that templates of chat
// models do not need (import, include, extends, block, recursive loops), naming `what` and the
// line. Expressions and blocks nest to a bounded depth.
Body parse(std::vector<Token> tokens, Symbols& symbols, const std::string& what);

}  // namespace glmoe::jinja
