#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>

namespace glmoe::jinja {
namespace {

constexpr int kMaxParserNesting = 100;
constexpr int kMaxTreeDepth = 400;

template <class... Items>
std::vector<ExprPtr> items_of(Items... items) {
  std::vector<ExprPtr> out;
  (out.push_back(std::move(items)), ...);
  return out;
}

}  // namespace

ExpressionParser::Nest::Nest(ExpressionParser& parser) : parser_(parser) {
  if (++parser_.nesting_ > kMaxParserNesting) {
    --parser_.nesting_;
    parser_.error("nested deeper than {} levels", kMaxParserNesting);
  }
}

Token ExpressionParser::take() {
  Token token = tokens_[position_];
  if (position_ + 1 < tokens_.size()) ++position_;
  return token;
}

bool ExpressionParser::accept_operator(std::string_view text) {
  if (!at_operator(text)) return false;
  take();
  return true;
}

bool ExpressionParser::accept_name(std::string_view text) {
  if (!at_name(text)) return false;
  take();
  return true;
}

void ExpressionParser::expect_operator(std::string_view text) {
  if (!accept_operator(text)) error("'{}' was wanted, found {}", text, found());
}

std::string ExpressionParser::expect_name() {
  if (now().kind != TokenKind::kName) error("a name was wanted, found {}", found());
  return take().text;
}

std::string ExpressionParser::found() const {
  switch (now().kind) {
    case TokenKind::kEnd: return "the end of the template";
    case TokenKind::kBlockEnd: return "'%}'";
    case TokenKind::kPrintEnd: return "'}}'";
    case TokenKind::kText:
    case TokenKind::kBlockBegin:
    case TokenKind::kPrintBegin: return "text";
    case TokenKind::kString: return "a string";
    default: return fmt::format("'{}'", now().text);
  }
}

ExprPtr ExpressionParser::make(ExprKind kind, std::vector<ExprPtr> items, std::string name) {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = now().line;
  expr->items = std::move(items);
  expr->name = std::move(name);
  return seal(std::move(expr));
}

ExprPtr ExpressionParser::seal(ExprPtr expr) const {
  int below = 0;
  for (const ExprPtr& item : expr->items) below = std::max(below, item ? item->depth : 0);
  for (const auto& [name, item] : expr->keywords) below = std::max(below, item->depth);
  if (below >= kMaxTreeDepth) error("an expression has more than {} levels", kMaxTreeDepth);
  expr->depth = below + 1;
  return expr;
}

ExprPtr ExpressionParser::expression(bool with_conditional) {
  const Nest nest(*this);
  ExprPtr value = logical_or();
  while (with_conditional && accept_name("if")) {
    ExprPtr condition = logical_or();
    ExprPtr otherwise = accept_name("else") ? expression() : nullptr;
    value = make(ExprKind::kConditional,
                 items_of(std::move(condition), std::move(value), std::move(otherwise)));
  }
  return value;
}

ExprPtr ExpressionParser::logical_or() {
  ExprPtr left = logical_and();
  while (accept_name("or")) {
    ExprPtr right = logical_and();
    left = make(ExprKind::kOr, items_of(std::move(left), std::move(right)));
  }
  return left;
}

ExprPtr ExpressionParser::logical_and() {
  ExprPtr left = logical_not();
  while (accept_name("and")) {
    ExprPtr right = logical_not();
    left = make(ExprKind::kAnd, items_of(std::move(left), std::move(right)));
  }
  return left;
}

ExprPtr ExpressionParser::logical_not() {
  if (!at_name("not")) return comparison();
  const Nest nest(*this);
  take();
  return make(ExprKind::kNot, items_of(logical_not()));
}

ExprPtr ExpressionParser::comparison() {
  std::vector<ExprPtr> items = items_of(sum());
  std::vector<std::string> operators;
  while (true) {
    static constexpr std::string_view kOperators[] = {"==", "!=", "<", "<=", ">", ">="};
    if (std::any_of(std::begin(kOperators), std::end(kOperators),
                    [&](std::string_view op) { return at_operator(op); })) {
      operators.push_back(take().text);
    } else if (accept_name("in")) {
      operators.emplace_back("in");
    } else if (at_name("not") && ahead(1).kind == TokenKind::kName && ahead(1).text == "in") {
      take();
      take();
      operators.emplace_back("not in");
    } else {
      break;
    }
    items.push_back(sum());
  }
  if (operators.empty()) return std::move(items[0]);
  ExprPtr expr = make(ExprKind::kCompare, std::move(items));
  expr->operators = std::move(operators);
  return expr;
}

ExprPtr ExpressionParser::sum() {
  ExprPtr left = concat();
  while (at_operator("+") || at_operator("-")) {
    std::string op = take().text;
    ExprPtr right = concat();
    left = make(ExprKind::kBinary, items_of(std::move(left), std::move(right)), std::move(op));
  }
  return left;
}

ExprPtr ExpressionParser::concat() {
  std::vector<ExprPtr> items = items_of(product());
  while (accept_operator("~")) items.push_back(product());
  if (items.size() == 1) return std::move(items[0]);
  return make(ExprKind::kConcat, std::move(items));
}

ExprPtr ExpressionParser::product() {
  ExprPtr left = power();
  while (at_operator("*") || at_operator("/") || at_operator("//") || at_operator("%")) {
    std::string op = take().text;
    ExprPtr right = power();
    left = make(ExprKind::kBinary, items_of(std::move(left), std::move(right)), std::move(op));
  }
  return left;
}

ExprPtr ExpressionParser::power() {
  ExprPtr left = unary();
  while (accept_operator("**")) {
    ExprPtr right = unary();
    left = make(ExprKind::kBinary, items_of(std::move(left), std::move(right)), "**");
  }
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filters) {
  ExprPtr value;
  if (at_operator("-") || at_operator("+")) {
    const Nest nest(*this);
    const bool negate = take().text == "-";
    value = make(negate ? ExprKind::kNegate : ExprKind::kPlus, items_of(unary(false)));
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
}

ExprPtr ExpressionParser::primary() {
  switch (now().kind) {
    case TokenKind::kName: return name_or_constant();
    case TokenKind::kString: return string();
    case TokenKind::kInteger: {
      int64_t value = 0;
      const std::string& text = now().text;
      const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
      if (result.ec != std::errc()) error("the number {} does not fit in 64 bits", text);
      ExprPtr expr = make(ExprKind::kConstant);
      expr->constant = value;
      take();
      return expr;
    }
    case TokenKind::kFloat: {
      double value = 0;
      const std::string& text = now().text;
      const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
      if (result.ec != std::errc()) error("the number {} is out of range", text);
      ExprPtr expr = make(ExprKind::kConstant);
      expr->constant = value;
      take();
      return expr;
    }
    default: break;
  }
  if (at_operator("(")) return parenthesis();
  if (at_operator("[")) return list();
  if (at_operator("{")) return dict();
  error("an expression was wanted, found {}", found());
}

ExprPtr ExpressionParser::name_or_constant() {
  const std::string name = now().text;
  ExprPtr expr = make(ExprKind::kConstant);
  take();
  if (name == "true" || name == "True") {
    expr->constant = true;
  } else if (name == "false" || name == "False") {
    expr->constant = false;
  } else if (name == "none" || name == "None") {
    expr->constant = None{};
  } else {
    expr->kind = ExprKind::kName;
    expr->name = name;
    expr->symbol = symbols_.of(name);
  }
  return expr;
}

ExprPtr ExpressionParser::string() {
  ExprPtr expr = make(ExprKind::kConstant);
  std::string text;
  while (now().kind == TokenKind::kString) text += take().text;
  expr->constant = Value(std::move(text));
  return expr;
}

ExprPtr ExpressionParser::parenthesis() {
  expect_operator("(");
  if (accept_operator(")")) return make(ExprKind::kTuple);
  ExprPtr value = tuple();
  expect_operator(")");
  return value;
}

bool ExpressionParser::tuple_ends() const {
  return now().kind == TokenKind::kBlockEnd || now().kind == TokenKind::kPrintEnd ||
         now().kind == TokenKind::kEnd || at_operator(")") || at_operator("=") || at_name("in");
}

ExprPtr ExpressionParser::tuple(bool with_conditional) {
  std::vector<ExprPtr> items = items_of(expression(with_conditional));
  bool is_tuple = false;
  while (accept_operator(",")) {
    is_tuple = true;
    if (tuple_ends()) break;
    items.push_back(expression(with_conditional));
  }
  if (!is_tuple) return std::move(items[0]);
  return make(ExprKind::kTuple, std::move(items));
}

ExprPtr ExpressionParser::list() {
  expect_operator("[");
  std::vector<ExprPtr> items;
  while (!at_operator("]")) {
    if (!items.empty()) expect_operator(",");
    if (at_operator("]")) break;
    items.push_back(expression());
  }
  expect_operator("]");
  return make(ExprKind::kList, std::move(items));
}

ExprPtr ExpressionParser::dict() {
  expect_operator("{");
  std::vector<ExprPtr> items;
  while (!at_operator("}")) {
    if (!items.empty()) expect_operator(",");
    if (at_operator("}")) break;
    items.push_back(expression());
    expect_operator(":");
    items.push_back(expression());
  }
  expect_operator("}");
  return make(ExprKind::kDict, std::move(items));
}

ExprPtr ExpressionParser::postfix(ExprPtr value) {
  while (true) {
    if (accept_operator(".")) {
      value = attribute(std::move(value));
    } else if (at_operator("[")) {
      value = subscript(std::move(value));
    } else if (at_operator("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExprPtr ExpressionParser::attribute(ExprPtr value) {
  if (now().kind == TokenKind::kInteger) {  // a.0 is a[0]
    ExprPtr index = primary();
    return make(ExprKind::kSubscript, items_of(std::move(value), std::move(index)));
  }
  std::string name = expect_name();
  return make(ExprKind::kAttribute, items_of(std::move(value)), std::move(name));
}

ExprPtr ExpressionParser::subscript(ExprPtr value) {
  expect_operator("[");
  ExprPtr parts[3];
  int colons = 0;
  if (!at_operator(":")) parts[0] = expression();
  while (colons < 2 && accept_operator(":")) {
    ++colons;
    if (!at_operator(":") && !at_operator("]")) parts[colons] = expression();
  }
  if (colons == 0 && at_operator(",")) error("a tuple as index is not supported");
  expect_operator("]");
  if (colons == 0) {
    return make(ExprKind::kSubscript, items_of(std::move(value), std::move(parts[0])));
  }
  return make(ExprKind::kSlice, items_of(std::move(value), std::move(parts[0]), std::move(parts[1]),
                                         std::move(parts[2])));
}

ExprPtr ExpressionParser::call(ExprPtr value) {
  ExprPtr expr = make(ExprKind::kCall, items_of(std::move(value)));
  arguments(*expr);
  return seal(std::move(expr));
}

void ExpressionParser::arguments(Expr& expr) {
  expect_operator("(");
  bool first = true;
  while (!at_operator(")")) {
    if (!first) expect_operator(",");
    first = false;
    if (at_operator(")")) break;
    if (at_operator("*") || at_operator("**")) {
      fail(ErrorCode::kUnsupported, "{}, line {}: * and ** in a call are not supported", what_,
           now().line);
    }
    if (now().kind == TokenKind::kName && ahead(1).kind == TokenKind::kOperator &&
        ahead(1).text == "=") {
      std::string name = take().text;
      take();
      for (const auto& [other, value] : expr.keywords) {
        if (other == name) error("argument '{}' is given twice", name);
      }
      expr.keywords.emplace_back(std::move(name), expression());
    } else {
      if (!expr.keywords.empty()) error("an argument without name after one with a name");
      expr.items.push_back(expression());
    }
  }
  expect_operator(")");
}

std::string ExpressionParser::dotted_name() {
  std::string name = expect_name();
  while (accept_operator(".")) {
    name += '.';
    name += expect_name();
  }
  return name;
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr value) {
  while (true) {
    if (accept_operator("|")) {
      value = filter(std::move(value));
    } else if (accept_name("is")) {
      value = test(std::move(value));
    } else if (at_operator("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExprPtr ExpressionParser::filter(ExprPtr value) {
  std::string name = dotted_name();
  ExprPtr expr = make(ExprKind::kFilter, items_of(std::move(value)), std::move(name));
  if (at_operator("(")) arguments(*expr);
  return seal(std::move(expr));
}

ExprPtr ExpressionParser::filter_chain() {
  ExprPtr value = filter(nullptr);
  while (accept_operator("|")) value = filter(std::move(value));
  return value;
}

ExprPtr ExpressionParser::test(ExprPtr value) {
  const bool negated = accept_name("not");
  std::string name = dotted_name();
  ExprPtr expr = make(ExprKind::kTest, items_of(std::move(value)), std::move(name));
  const TokenKind next = now().kind;
  if (at_operator("(")) {
    arguments(*expr);
  } else if (at_name("is")) {
    error("tests cannot be chained with 'is'");
  } else if (((next == TokenKind::kName && !at_name("else") && !at_name("or") && !at_name("and")) ||
              next == TokenKind::kString || next == TokenKind::kInteger ||
              next == TokenKind::kFloat || at_operator("[") || at_operator("{")) &&
             !at_name("if") && !at_name("in") && !at_name("not")) {
    expr->items.push_back(postfix(primary()));
  }
  expr = seal(std::move(expr));
  return negated ? make(ExprKind::kNot, items_of(std::move(expr))) : std::move(expr);
}

}  // namespace glmoe::jinja
