// The expression half of the parser; statements are built on top of it (parser.cc).
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace glmoe::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, Symbols& symbols, const std::string& what)
      : symbols_(symbols), what_(what), tokens_(std::move(tokens)) {}

 protected:
  ExprPtr expression(bool with_conditional = true);
  // One expression, or several with commas as a tuple. Ends before `in` where no_conditional.
  ExprPtr tuple(bool with_conditional = true);
  // "name(arguments) | name ..." of a filter tag or a block set; the value is left out (null).
  ExprPtr filter_chain();
  ExprPtr unary(bool with_filters = true);

  const Token& now() const { return tokens_[position_]; }
  const Token& ahead(size_t count) const {
    return tokens_[std::min(position_ + count, tokens_.size() - 1)];
  }
  Token take();
  bool at_operator(std::string_view text) const {
    return now().kind == TokenKind::kOperator && now().text == text;
  }
  bool at_name(std::string_view text) const {
    return now().kind == TokenKind::kName && now().text == text;
  }
  bool accept_operator(std::string_view text);
  bool accept_name(std::string_view text);
  void expect_operator(std::string_view text);
  std::string expect_name();

  template <class... Args>
  [[noreturn]] void error(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::kCorrupt, "{}, line {}: {}", what_, now().line,
         fmt::format(format, std::forward<Args>(args)...));
  }
  std::string found() const;  // the current token, for messages

  // Counts the parser's own recursion.
  class Nest {
   public:
    explicit Nest(ExpressionParser& parser);
    ~Nest() { --parser_.nesting_; }
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;

   private:
    ExpressionParser& parser_;
  };

  Symbols& symbols_;
  const std::string& what_;

 private:
  ExprPtr make(ExprKind kind, std::vector<ExprPtr> items = {}, std::string name = {});
  ExprPtr seal(ExprPtr expr) const;  // sets and checks the depth
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concat();
  ExprPtr product();
  ExprPtr power();
  ExprPtr primary();
  ExprPtr name_or_constant();
  ExprPtr string();
  ExprPtr parenthesis();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr value);
  ExprPtr filters_and_tests(ExprPtr value);
  ExprPtr filter(ExprPtr value);
  ExprPtr test(ExprPtr value);
  ExprPtr attribute(ExprPtr value);
  ExprPtr subscript(ExprPtr value);
  ExprPtr call(ExprPtr value);
  void arguments(Expr& expr);
  std::string dotted_name();
  bool tuple_ends() const;

  std::vector<Token> tokens_;
  size_t position_ = 0;
  int nesting_ = 0;
};

}  // namespace glmoe::jinja
