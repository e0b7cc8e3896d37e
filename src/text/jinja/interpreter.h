// Runs a parsed template. One object renders once, on one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/arguments.h"
#include "text/jinja/ast.h"
#include "text/jinja/limits.h"
#include "text/jinja/value.h"

namespace glmoe::jinja {

// Variables of a block; a child sees its parents'. Few to a scope, so a linear search does.
struct Scope : std::enable_shared_from_this<Scope> {
  explicit Scope(std::shared_ptr<Scope> parent_scope) : parent(std::move(parent_scope)) {}
  Value* find_here(int symbol);
  Value* find(int symbol);  // here or in a parent; nullptr: nowhere
  void set(int symbol, Value value);

  std::shared_ptr<Scope> parent;
  std::vector<std::pair<int, Value>> variables;
};

class Interpreter {
 public:
  Interpreter(const Symbols& symbols, const Limits& limits);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void set_global(std::string_view name, Value value);
  // Appends to `out`. Throws RenderError; line() then says where.
  void run(const Body& body, std::string& out);
  int line() const { return line_; }

  // --- for filters, tests, methods and functions ---
  Value call(const Value& callee, Arguments& arguments);
  Value apply_filter(std::string_view name, Arguments& arguments);
  bool apply_test(std::string_view name, Arguments& arguments);
  Value attribute(const Value& object, std::string_view name);
  Value subscript(const Value& object, const Value& index);
  Value new_namespace(Dict attributes);
  // Every loop in a filter or method counts its turns, every new value its bytes.
  void step(size_t count = 1);
  Value make_string(std::string text);
  Value make_list(std::vector<Value> items, Flavor flavor = Flavor::kList);

  // A macro or caller body as a string.
  std::string call_body(const Body& body, const std::vector<Parameter>& parameters,
                        std::string_view name, std::shared_ptr<Scope> outer, Arguments& arguments,
                        const Value* caller);

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  class InScope;  // a scope for the life of the object
  class Depth {   // counts recursion, which bounds the machine's stack
   public:
    explicit Depth(int& depth) : depth_(depth) {
      if (depth_ >= kMaxDepth) throw RenderError{"evaluation nested too deeply: too many levels"};
      ++depth_;
    }
    ~Depth() { --depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    static constexpr int kMaxDepth = 1500;
    int& depth_;
  };

  Flow exec(const Body& body, std::string& out);
  Flow exec(const Stmt& stmt, std::string& out);
  Flow exec_if(const Stmt& stmt, std::string& out);
  Flow exec_for(const Stmt& stmt, std::string& out);
  void exec_set_block(const Stmt& stmt);
  void exec_macro(const Stmt& stmt);
  void exec_call(const Stmt& stmt, std::string& out);
  void exec_filter(const Stmt& stmt, std::string& out);
  void assign(const Target& target, Value value);
  void print(std::string& out, const Value& value);
  void check_output(const std::string& out);
  std::string captured(const Body& body);

  Value eval(const Expr& expr);
  Value eval_call(const Expr& expr, const Value* caller);
  Value eval_filter(const Expr& expr, const Value* block_value);
  Value eval_compare(const Expr& expr);
  Value eval_slice(const Expr& expr);
  Value eval_concat(const Expr& expr);
  Value eval_name(const Expr& expr);
  Value eval_dict(const Expr& expr);
  void eval_arguments(const Expr& expr, Arguments& arguments);

  const Symbols& symbols_;
  Limits limits_;
  int64_t start_ms_;  // of the thread's computing time
  size_t steps_ = 0;
  size_t bytes_ = 0;  // of values made so far
  size_t next_clock_check_ = 0;
  int depth_ = 0, calls_ = 0;
  int line_ = 0;
  std::shared_ptr<Scope> root_, scope_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;  // emptied at the end: they may form cycles
};

}  // namespace glmoe::jinja
