#include "text/jinja/parser.h"

#include <algorithm>

#include "text/jinja/expression_parser.h"

namespace glmoe::jinja {
namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Body run() {
    Body body = statements({});
    if (now().kind != TokenKind::kEnd) error("unexpected tag '{}'", now().text);
    return body;
  }

 private:
  // Up to a block whose name is in `ends` (left as the current token, its {% taken) or the end.
  Body statements(std::initializer_list<std::string_view> ends) {
    const Nest nest(*this);
    Body body;
    while (now().kind != TokenKind::kEnd) {
      if (now().kind == TokenKind::kText) {
        Stmt stmt = make_stmt(StmtKind::kText);
        stmt.text = take().text;
        body.push_back(std::move(stmt));
      } else if (now().kind == TokenKind::kPrintBegin) {
        take();
        Stmt stmt = make_stmt(StmtKind::kPrint);
        stmt.expr = tuple();
        if (now().kind != TokenKind::kPrintEnd) error("'}}}}' was wanted, found {}", found());
        take();
        body.push_back(std::move(stmt));
      } else {
        take();  // {%
        if (now().kind != TokenKind::kName) error("a tag's name was wanted, found {}", found());
        if (std::find(ends.begin(), ends.end(), now().text) != ends.end()) return body;
        body.push_back(block());
      }
    }
    if (ends.size() > 0) {
      error("the template ends where {{% {} %}} was wanted", *(ends.end() - 1));
    }
    return body;
  }

  Stmt make_stmt(StmtKind kind) const {
    Stmt stmt;
    stmt.kind = kind;
    stmt.line = now().line;
    return stmt;
  }

  void end_block() {
    if (now().kind != TokenKind::kBlockEnd) error("'%}}' was wanted, found {}", found());
    take();
  }

  Body body_until(std::string_view end) {
    end_block();
    Body body = statements({end});
    take();
    end_block();
    return body;
  }

  Stmt block() {
    const std::string& name = now().text;
    if (name == "if") return if_block();
    if (name == "for") return for_block();
    if (name == "set") return set_block();
    if (name == "macro") return macro_block();
    if (name == "call") return call_block();
    if (name == "filter") return filter_block();
    if (name == "with") return with_block();
    if (name == "generation") {
      Stmt stmt = make_stmt(StmtKind::kScope);
      take();
      stmt.body = body_until("endgeneration");
      return stmt;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) error("'{}' outside of a loop", name);
      Stmt stmt = make_stmt(name == "break" ? StmtKind::kBreak : StmtKind::kContinue);
      take();
      end_block();
      return stmt;
    }
    for (const char* other :
         {"import", "from", "include", "extends", "block", "autoescape", "do"}) {
      if (name == other) {
        fail(ErrorCode::kUnsupported, "{}, line {}: the tag '{}' is not supported", what_,
             now().line, name);
      }
    }
    error("unknown tag '{}'", name);
  }

  Stmt if_block() {
    Stmt stmt = make_stmt(StmtKind::kIf);
    take();
    bool has_else = false;
    ExprPtr condition = tuple(false);
    while (true) {
      end_block();
      Branch branch;
      branch.condition = std::move(condition);
      branch.body = has_else ? statements({"endif"}) : statements({"elif", "else", "endif"});
      stmt.branches.push_back(std::move(branch));
      const std::string tag = take().text;
      if (tag == "endif") break;
      has_else = tag == "else";
      condition = has_else ? nullptr : tuple(false);
    }
    end_block();
    return stmt;
  }

  Stmt for_block() {
    Stmt stmt = make_stmt(StmtKind::kFor);
    take();
    stmt.target = target_list(/*allow_attribute=*/false);
    if (!accept_name("in")) error("'in' was wanted, found {}", found());
    stmt.expr = tuple(false);
    if (accept_name("if")) stmt.filter = expression();
    if (at_name("recursive")) {
      fail(ErrorCode::kUnsupported, "{}, line {}: recursive loops are not supported", what_,
           now().line);
    }
    end_block();
    ++loops_;
    stmt.body = statements({"else", "endfor"});
    --loops_;
    if (take().text == "else") {
      end_block();
      stmt.else_body = statements({"endfor"});
      take();
    }
    end_block();
    return stmt;
  }

  Target single_target(bool allow_attribute) {
    if (accept_operator("(")) {
      Target target = target_list(false);
      expect_operator(")");
      return target;
    }
    Target target;
    target.name = expect_name();
    for (const char* reserved : {"true", "false", "none", "True", "False", "None", "not", "in"}) {
      if (target.name == reserved) error("'{}' cannot be assigned to", target.name);
    }
    target.symbol = symbols_.of(target.name);
    if (allow_attribute && accept_operator(".")) target.attribute = expect_name();
    return target;
  }

  Target target_list(bool allow_attribute) {
    const Nest nest(*this);
    Target first = single_target(allow_attribute);
    if (!at_operator(",")) return first;
    Target all;
    all.nested.push_back(std::move(first));
    while (accept_operator(",")) {
      if (at_name("in") || at_operator("=") || at_operator(")")) break;
      all.nested.push_back(single_target(allow_attribute));
    }
    return all;
  }

  Stmt set_block() {
    Stmt stmt = make_stmt(StmtKind::kSet);
    take();
    stmt.target = target_list(true);
    if (accept_operator("=")) {
      stmt.expr = tuple();
      end_block();
      return stmt;
    }
    stmt.kind = StmtKind::kSetBlock;
    if (accept_operator("|")) stmt.filter = filter_chain();
    stmt.body = body_until("endset");
    return stmt;
  }

  std::vector<Parameter> parameters() {
    std::vector<Parameter> out;
    expect_operator("(");
    while (!at_operator(")")) {
      if (!out.empty()) expect_operator(",");
      if (at_operator(")")) break;
      Parameter parameter;
      parameter.name = expect_name();
      parameter.symbol = symbols_.of(parameter.name);
      if (accept_operator("=")) {
        parameter.value = expression();
      } else if (!out.empty() && out.back().value) {
        error("parameter '{}' without default after one with a default", parameter.name);
      }
      for (const Parameter& other : out) {
        if (other.name == parameter.name) error("parameter '{}' appears twice", parameter.name);
      }
      out.push_back(std::move(parameter));
    }
    expect_operator(")");
    return out;
  }

  // break and continue do not reach out of a macro's or caller's body.
  Body callable_body(std::string_view end) {
    const int outer = loops_;
    loops_ = 0;
    Body body = body_until(end);
    loops_ = outer;
    return body;
  }

  Stmt macro_block() {
    Stmt stmt = make_stmt(StmtKind::kMacro);
    take();
    stmt.text = expect_name();
    stmt.symbol = symbols_.of(stmt.text);
    stmt.parameters = parameters();
    stmt.body = callable_body("endmacro");
    return stmt;
  }

  Stmt call_block() {
    Stmt stmt = make_stmt(StmtKind::kCall);
    take();
    if (at_operator("(")) stmt.parameters = parameters();
    stmt.expr = expression();
    if (stmt.expr->kind != ExprKind::kCall) error("a call was wanted after 'call'");
    stmt.body = callable_body("endcall");
    return stmt;
  }

  Stmt filter_block() {
    Stmt stmt = make_stmt(StmtKind::kFilter);
    take();
    stmt.filter = filter_chain();
    stmt.body = body_until("endfilter");
    return stmt;
  }

  Stmt with_block() {
    Stmt stmt = make_stmt(StmtKind::kWith);
    take();
    while (now().kind != TokenKind::kBlockEnd) {
      if (!stmt.parameters.empty()) expect_operator(",");
      Parameter parameter;
      parameter.name = expect_name();
      parameter.symbol = symbols_.of(parameter.name);
      expect_operator("=");
      parameter.value = expression();
      stmt.parameters.push_back(std::move(parameter));
    }
    stmt.body = body_until("endwith");
    return stmt;
  }

  int loops_ = 0;
};

}  // namespace

Body parse(std::vector<Token> tokens, Symbols& symbols, const std::string& what) {
  return Parser(std::move(tokens), symbols, what).run();
}

}  // namespace glmoe::jinja
