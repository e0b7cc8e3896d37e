// The expression half of the interpreter; statements are in interpreter.cc.
#include <fmt/format.h>

#include "text/jinja/interpreter.h"
#include "text/jinja/library.h"
#include "text/jinja/operators.h"

namespace glmoe::jinja {

Value Interpreter::eval(const Expr& expr) {
  const Depth depth(depth_);
  step();
  line_ = expr.line;
  switch (expr.kind) {
    case ExprKind::kConstant: return expr.constant;
    case ExprKind::kName: return eval_name(expr);
    case ExprKind::kList:
    case ExprKind::kTuple: {
      std::vector<Value> items;
      for (const ExprPtr& item : expr.items) items.push_back(eval(*item));
      return make_list(std::move(items),
                       expr.kind == ExprKind::kList ? Flavor::kList : Flavor::kTuple);
    }
    case ExprKind::kDict: return eval_dict(expr);
    case ExprKind::kAttribute: return attribute(eval(*expr.items[0]), expr.name);
    case ExprKind::kSubscript: {
      const Value object = eval(*expr.items[0]);
      return subscript(object, eval(*expr.items[1]));
    }
    case ExprKind::kSlice: return eval_slice(expr);
    case ExprKind::kCall: return eval_call(expr, nullptr);
    case ExprKind::kFilter: return eval_filter(expr, nullptr);
    case ExprKind::kTest: {
      Arguments arguments;
      eval_arguments(expr, arguments);
      return apply_test(expr.name, arguments);
    }
    case ExprKind::kNot: return !truthy(eval(*expr.items[0]));
    case ExprKind::kNegate: return negate(eval(*expr.items[0]), true);
    case ExprKind::kPlus: return negate(eval(*expr.items[0]), false);
    case ExprKind::kBinary: {
      const Value left = eval(*expr.items[0]);
      return binary(*this, expr.name, left, eval(*expr.items[1]));
    }
    case ExprKind::kCompare: return eval_compare(expr);
    case ExprKind::kAnd: {
      Value left = eval(*expr.items[0]);
      return truthy(left) ? eval(*expr.items[1]) : left;
    }
    case ExprKind::kOr: {
      Value left = eval(*expr.items[0]);
      return truthy(left) ? left : eval(*expr.items[1]);
    }
    case ExprKind::kConcat: return eval_concat(expr);
    case ExprKind::kConditional:
      if (truthy(eval(*expr.items[0]))) return eval(*expr.items[1]);
      if (expr.items[2]) return eval(*expr.items[2]);
      return Value::undefined("the inline if-expression evaluated to false and no else was given");
  }
  return Value();
}

Value Interpreter::eval_name(const Expr& expr) {
  if (const Value* value = scope_->find(expr.symbol)) return *value;
  return Value::undefined(fmt::format("'{}' is undefined", expr.name));
}

Value Interpreter::eval_dict(const Expr& expr) {
  Dict dict;
  for (size_t i = 0; i < expr.items.size(); i += 2) {
    Value key = eval(*expr.items[i]);
    if (key.is_list(Flavor::kList) || key.is_dict() || key.nesting_depth() > 1) {
      throw RenderError{fmt::format("a {} cannot be the key of a dict", type_name(key))};
    }
    dict.set(std::move(key), eval(*expr.items[i + 1]));
  }
  bytes_ += sizeof(Dict) + dict.entries().size() * sizeof(Dict::Entry);
  return Value::dict(std::move(dict));
}

void Interpreter::eval_arguments(const Expr& expr, Arguments& arguments) {
  for (const ExprPtr& item : expr.items) arguments.positional.push_back(eval(*item));
  for (const auto& [name, value] : expr.keywords) arguments.named.emplace_back(name, eval(*value));
  line_ = expr.line;
}

Value Interpreter::eval_call(const Expr& expr, const Value* caller) {
  Arguments arguments;
  const Value callee = eval(*expr.items[0]);
  for (size_t i = 1; i < expr.items.size(); ++i) {
    arguments.positional.push_back(eval(*expr.items[i]));
  }
  for (const auto& [name, value] : expr.keywords) arguments.named.emplace_back(name, eval(*value));
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  line_ = expr.line;
  return call(callee, arguments);
}

Value Interpreter::call(const Value& callee, Arguments& arguments) {
  require_defined(callee);
  if (!callee.is(Value::Kind::kCallable)) {
    throw RenderError{fmt::format("'{}' object is not callable", type_name(callee))};
  }
  const Depth depth(depth_);
  return callee.as_callable().call(*this, arguments);
}

Value Interpreter::eval_filter(const Expr& expr, const Value* block_value) {
  Arguments arguments;
  if (expr.items[0] == nullptr) {
    arguments.positional.push_back(*block_value);
  } else if (expr.items[0]->kind == ExprKind::kFilter) {
    arguments.positional.push_back(eval_filter(*expr.items[0], block_value));
  } else {
    arguments.positional.push_back(eval(*expr.items[0]));
  }
  for (size_t i = 1; i < expr.items.size(); ++i) {
    arguments.positional.push_back(eval(*expr.items[i]));
  }
  for (const auto& [name, value] : expr.keywords) arguments.named.emplace_back(name, eval(*value));
  line_ = expr.line;
  return apply_filter(expr.name, arguments);
}

Value Interpreter::apply_filter(std::string_view name, Arguments& arguments) {
  step();
  const Filter filter = find_filter(name);
  if (filter == nullptr) {
    throw RenderError{fmt::format("no filter named '{}'", name), ErrorCode::kUnsupported};
  }
  return filter(*this, arguments);
}

bool Interpreter::apply_test(std::string_view name, Arguments& arguments) {
  step();
  const Test test = find_test(name);
  if (test == nullptr) {
    throw RenderError{fmt::format("no test named '{}'", name), ErrorCode::kUnsupported};
  }
  return test(*this, arguments);
}

Value Interpreter::eval_compare(const Expr& expr) {
  Value left = eval(*expr.items[0]);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    Value right = eval(*expr.items[i + 1]);
    const std::string& op = expr.operators[i];
    bool holds;
    if (op == "==" || op == "!=") {
      holds = same(*this, left, right) == (op == "==");
    } else if (op == "in" || op == "not in") {
      holds = contains(*this, right, left) == (op == "in");
    } else {
      const int sign = order(*this, left, right, op);
      holds = op == "<"    ? sign == -1
              : op == "<=" ? sign == -1 || sign == 0
              : op == ">"  ? sign == 1
                           : sign == 1 || sign == 0;
    }
    if (!holds) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::eval_slice(const Expr& expr) {
  const Value object = eval(*expr.items[0]);
  Value bounds[3] = {None{}, None{}, None{}};
  for (size_t i = 0; i < 3; ++i) {
    if (expr.items[i + 1]) bounds[i] = eval(*expr.items[i + 1]);
  }
  return slice(*this, object, bounds[0], bounds[1], bounds[2]);
}

Value Interpreter::eval_concat(const Expr& expr) {
  std::string text;
  for (const ExprPtr& item : expr.items) {
    append_str(text, eval(*item));
    if (text.size() > limits_.max_output_bytes) break;  // make_string refuses it
  }
  return make_string(std::move(text));
}

Value Interpreter::attribute(const Value& object, std::string_view name) {
  step();
  require_defined(object);
  if (name.substr(0, 1) == "_") {
    return Value::undefined(
        fmt::format("access to attribute '{}' of '{}' object is unsafe", name, type_name(object)));
  }
  if (auto method = find_method(object, name)) return *method;
  const Value* found = nullptr;
  if (object.is_dict()) found = object.as_dict().find(name);
  if (object.is(Value::Kind::kNamespace)) found = object.as_namespace().attributes.find(name);
  if (found != nullptr) return *found;
  if (object.is(Value::Kind::kCallable)) {
    if (auto value = object.as_callable().attribute(name)) return *value;
  }
  return Value::undefined(
      fmt::format("'{} object' has no attribute '{}'", type_name(object), name));
}

Value Interpreter::subscript(const Value& object, const Value& index) {
  step();
  require_defined(object);
  if (object.is_dict()) {
    if (const Value* value = object.as_dict().find(index)) return *value;
  } else if (index.is_integer() && (object.is_sequence_like() || object.is_string())) {
    return element(*this, object, index.as_int());
  }
  if (index.is_string()) return attribute(object, index.as_string());
  return Value::undefined(
      fmt::format("'{} object' has no element {}", type_name(object), to_str(index)));
}

}  // namespace glmoe::jinja
