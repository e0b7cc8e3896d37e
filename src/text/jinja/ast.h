// A parsed template. Names are numbered (symbols) so that scopes compare integers.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace glmoe::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

enum class ExprKind {
  kConstant,  // constant
  kName,      // symbol, name
  kList,
  kTuple,      // items
  kDict,       // items: key, value, key, value, ...
  kAttribute,  // items[0].name
  kSubscript,  // items[0][items[1]]
  kSlice,      // items[0][items[1]:items[2]:items[3]], the last three may be null
  kCall,       // items[0](items[1...], keywords)
  kFilter,     // items[0] | name(items[1...], keywords); items[0] null in filter blocks
  kTest,       // items[0] is name(items[1...], keywords)
  kNot,
  kNegate,
  kPlus,     // items[0]
  kBinary,   // items[0] name items[1], name one of + - * / // % **
  kCompare,  // items[0] operators[0] items[1] operators[1] items[2] ...
  kAnd,
  kOr,           // items[0], items[1]
  kConcat,       // items, joined as strings
  kConditional,  // items[1] if items[0] else items[2], which may be null
};

struct Expr {
  ExprKind kind;
  int line = 0;
  int depth = 1;  // of the tree below, bounded by the parser
  int symbol = -1;
  std::string name;
  Value constant;
  std::vector<ExprPtr> items;
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  std::vector<std::string> operators;
};

struct Stmt;
using Body = std::vector<Stmt>;

enum class StmtKind {
  kText,      // text
  kPrint,     // expr
  kIf,        // branches; the last has a null condition where there is an else
  kFor,       // targets in expr, filter (may be null), body, else_body
  kSet,       // targets = expr
  kSetBlock,  // targets = body, through filter (may be null)
  kMacro,     // symbol, text, parameters, body
  kCall,      // expr called with body as caller(parameters)
  kFilter,    // body through filter
  kWith,      // parameters as variables, body
  kScope,     // body in a scope of its own ({% generation %})
  kBreak,
  kContinue,
};

struct Target {  // what an assignment or a loop binds
  int symbol = -1;
  std::string name;
  std::string attribute;       // not empty: of a namespace
  std::vector<Target> nested;  // not empty: unpacked, and symbol is unused
};

struct Parameter {
  int symbol = -1;
  std::string name;
  ExprPtr value;  // default, or with's value; may be null
};

struct Branch;

struct Stmt {
  StmtKind kind;
  int line = 0;
  std::string text;
  int symbol = -1;
  ExprPtr expr, filter;
  Target target;
  std::vector<Parameter> parameters;
  std::vector<Branch> branches;
  Body body, else_body;
};

struct Branch {
  ExprPtr condition;  // null: else
  Body body;
};

class Symbols {
 public:
  int of(std::string_view name) {
    return ids_.try_emplace(std::string(name), static_cast<int>(ids_.size())).first->second;
  }
  // -1 for a name that the template does not mention.
  int find(std::string_view name) const {
    const auto it = ids_.find(std::string(name));
    return it == ids_.end() ? -1 : it->second;
  }

 private:
  std::unordered_map<std::string, int> ids_;
};

}  // namespace glmoe::jinja
