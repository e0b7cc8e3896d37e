#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "text/jinja/library.h"
#include "text/jinja/loop.h"
#include "text/jinja/operators.h"

namespace glmoe::jinja {
namespace {

constexpr size_t kStepsPerClockCheck = 4096;

// What this thread has computed: while others have the processor, or the process is stopped, a
// rendering costs nothing.
int64_t thread_time_ms() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
}

// A macro, or the body of a call block as caller(). Holds its scope weakly: the scope may hold it.
class MacroValue final : public Callable {
 public:
  MacroValue(const Stmt& stmt, std::string name, const std::shared_ptr<Scope>& scope,
             const std::shared_ptr<Scope>& root)
      : stmt_(stmt), name_(std::move(name)), scope_(scope), root_(root) {}

  Value call(Interpreter& interpreter, Arguments& arguments) override {
    auto scope = scope_.lock();
    if (!scope) scope = root_.lock();
    const Value* caller = nullptr;
    Value caller_value;
    auto& named = arguments.named;
    for (size_t i = 0; i < named.size(); ++i) {
      if (named[i].first != "caller") continue;
      caller_value = named[i].second;
      caller = &caller_value;
      named.erase(named.begin() + static_cast<ptrdiff_t>(i));
      break;
    }
    return interpreter.make_string(
        interpreter.call_body(stmt_.body, stmt_.parameters, name_, scope, arguments, caller));
  }
  std::string_view name() const override { return name_; }
  std::optional<Value> attribute(std::string_view attribute_name) const override {
    if (attribute_name == "name") return Value(name_);
    return std::nullopt;
  }

 private:
  const Stmt& stmt_;
  std::string name_;
  std::weak_ptr<Scope> scope_, root_;
};

}  // namespace

Value* Scope::find_here(int symbol) {
  for (auto& [id, value] : variables) {
    if (id == symbol) return &value;
  }
  return nullptr;
}

Value* Scope::find(int symbol) {
  for (Scope* scope = this; scope != nullptr; scope = scope->parent.get()) {
    if (Value* value = scope->find_here(symbol)) return value;
  }
  return nullptr;
}

void Scope::set(int symbol, Value value) {
  if (Value* old = find_here(symbol)) {
    *old = std::move(value);
  } else {
    variables.emplace_back(symbol, std::move(value));
  }
}

class Interpreter::InScope {
 public:
  InScope(Interpreter& interpreter, std::shared_ptr<Scope> scope)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.scope_, std::move(scope))) {}
  explicit InScope(Interpreter& interpreter)
      : InScope(interpreter, std::make_shared<Scope>(interpreter.scope_)) {}
  ~InScope() { interpreter_.scope_ = std::move(outer_); }
  InScope(const InScope&) = delete;
  InScope& operator=(const InScope&) = delete;

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Scope> outer_;
};

Interpreter::Interpreter(const Symbols& symbols, const Limits& limits)
    : symbols_(symbols),
      limits_(limits),
      start_ms_(thread_time_ms()),
      root_(std::make_shared<Scope>(nullptr)),
      scope_(std::make_shared<Scope>(root_)) {
  add_globals(*this);
}

Interpreter::~Interpreter() {
  // A namespace may refer to itself, and a chain of them must not be destroyed recursively.
  std::vector<Dict> attributes;
  for (auto& item : namespaces_) attributes.push_back(std::exchange(item->attributes, Dict()));
}

void Interpreter::set_global(std::string_view name, Value value) {
  const int symbol = symbols_.find(name);
  if (symbol >= 0) root_->set(symbol, std::move(value));
}

void Interpreter::run(const Body& body, std::string& out) {
  exec(body, out);
  check_output(out);
}

void Interpreter::step(size_t count) {
  steps_ += count;
  if (steps_ > limits_.max_steps) {
    throw RenderError{fmt::format("more than {} steps", limits_.max_steps)};
  }
  if (steps_ < next_clock_check_) return;
  next_clock_check_ = steps_ + kStepsPerClockCheck;
  if (thread_time_ms() - start_ms_ > limits_.max_time_ms) {
    throw RenderError{fmt::format("not done after {} ms of computing", limits_.max_time_ms)};
  }
}

Value Interpreter::make_string(std::string text) {
  if (text.size() > limits_.max_output_bytes) {
    throw RenderError{fmt::format("a string of more than {} bytes", limits_.max_output_bytes)};
  }
  bytes_ += text.size() + sizeof(Value);
  step(1 + text.size() / 256);
  if (bytes_ > limits_.max_value_bytes) {
    throw RenderError{fmt::format("more than {} bytes of values", limits_.max_value_bytes)};
  }
  return Value(std::move(text));
}

Value Interpreter::make_list(std::vector<Value> items, Flavor flavor) {
  bytes_ += items.size() * sizeof(Value) + sizeof(List);
  step(1 + items.size() / 16);
  if (bytes_ > limits_.max_value_bytes) {
    throw RenderError{fmt::format("more than {} bytes of values", limits_.max_value_bytes)};
  }
  return Value::list(std::move(items), flavor);
}

Value Interpreter::new_namespace(Dict attributes) {
  step();
  bytes_ += sizeof(Namespace) + attributes.entries().size() * sizeof(Dict::Entry);
  auto item = std::make_shared<Namespace>();
  item->attributes = std::move(attributes);
  namespaces_.push_back(item);
  return Value(std::move(item));
}

void Interpreter::check_output(const std::string& out) {
  if (out.size() > limits_.max_output_bytes) {
    throw RenderError{fmt::format("more than {} bytes of output", limits_.max_output_bytes)};
  }
}

Interpreter::Flow Interpreter::exec(const Body& body, std::string& out) {
  for (const Stmt& stmt : body) {
    const Flow flow = exec(stmt, out);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::exec(const Stmt& stmt, std::string& out) {
  const Depth depth(depth_);
  line_ = stmt.line;
  step();
  switch (stmt.kind) {
    case StmtKind::kText:
      out += stmt.text;
      check_output(out);
      break;
    case StmtKind::kPrint: print(out, eval(*stmt.expr)); break;
    case StmtKind::kIf: return exec_if(stmt, out);
    case StmtKind::kFor: return exec_for(stmt, out);
    case StmtKind::kSet: assign(stmt.target, eval(*stmt.expr)); break;
    case StmtKind::kSetBlock: exec_set_block(stmt); break;
    case StmtKind::kMacro: exec_macro(stmt); break;
    case StmtKind::kCall: exec_call(stmt, out); break;
    case StmtKind::kFilter: exec_filter(stmt, out); break;
    case StmtKind::kScope: {
      const InScope scope(*this);
      return exec(stmt.body, out);
    }
    case StmtKind::kWith: {
      std::vector<Value> values;
      for (const Parameter& parameter : stmt.parameters) values.push_back(eval(*parameter.value));
      const InScope scope(*this);
      for (size_t i = 0; i < values.size(); ++i) {
        scope_->set(stmt.parameters[i].symbol, std::move(values[i]));
      }
      return exec(stmt.body, out);
    }
    case StmtKind::kBreak: return Flow::kBreak;
    case StmtKind::kContinue: return Flow::kContinue;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::exec_if(const Stmt& stmt, std::string& out) {
  for (const Branch& branch : stmt.branches) {
    if (!branch.condition || truthy(eval(*branch.condition))) return exec(branch.body, out);
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::exec_for(const Stmt& stmt, std::string& out) {
  std::vector<Value> items = iterate(*this, eval(*stmt.expr));
  if (stmt.filter) {
    std::vector<Value> kept;
    for (Value& item : items) {
      const InScope scope(*this);
      assign(stmt.target, item);
      if (truthy(eval(*stmt.filter))) kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  if (items.empty()) {
    const InScope scope(*this);
    return exec(stmt.else_body, out);
  }
  static constexpr std::string_view kLoop = "loop";
  const int loop_symbol = symbols_.find(kLoop);
  const auto loop = std::make_shared<LoopValue>(std::move(items));
  const auto scope = std::make_shared<Scope>(scope_);
  for (size_t i = 0; i < loop->size(); ++i) {
    scope->variables.clear();
    const InScope in_scope(*this, scope);
    loop->move_to(i);
    if (loop_symbol >= 0) scope->set(loop_symbol, Value(std::shared_ptr<Callable>(loop)));
    assign(stmt.target, loop->item(i));
    if (exec(stmt.body, out) == Flow::kBreak) break;
  }
  return Flow::kNormal;
}

std::string Interpreter::captured(const Body& body) {
  std::string text;
  const InScope scope(*this);
  exec(body, text);
  return text;
}

void Interpreter::exec_set_block(const Stmt& stmt) {
  Value value = make_string(captured(stmt.body));
  if (stmt.filter) value = eval_filter(*stmt.filter, &value);
  assign(stmt.target, std::move(value));
}

void Interpreter::exec_macro(const Stmt& stmt) {
  scope_->set(stmt.symbol, Value(std::shared_ptr<Callable>(
                               std::make_shared<MacroValue>(stmt, stmt.text, scope_, root_))));
}

void Interpreter::exec_call(const Stmt& stmt, std::string& out) {
  const Value caller(
      std::shared_ptr<Callable>(std::make_shared<MacroValue>(stmt, "caller", scope_, root_)));
  print(out, eval_call(*stmt.expr, &caller));
}

void Interpreter::exec_filter(const Stmt& stmt, std::string& out) {
  const Value value = make_string(captured(stmt.body));
  print(out, eval_filter(*stmt.filter, &value));
}

void Interpreter::print(std::string& out, const Value& value) {
  append_str(out, value);
  check_output(out);
}

void Interpreter::assign(const Target& target, Value value) {
  if (!target.nested.empty()) {
    std::vector<Value> items = iterate(*this, value);
    if (items.size() != target.nested.size()) {
      throw RenderError{
          fmt::format("{} values to unpack into {} names", items.size(), target.nested.size())};
    }
    for (size_t i = 0; i < items.size(); ++i) assign(target.nested[i], std::move(items[i]));
    return;
  }
  if (target.attribute.empty()) {
    scope_->set(target.symbol, std::move(value));
    return;
  }
  const Value* object = scope_->find(target.symbol);
  if (object == nullptr || !object->is(Value::Kind::kNamespace)) {
    throw RenderError{fmt::format("cannot assign attribute '{}': '{}' is not a namespace",
                                  target.attribute, target.name)};
  }
  object->as_namespace().attributes.set(Value(target.attribute), std::move(value));
}

std::string Interpreter::call_body(const Body& body, const std::vector<Parameter>& parameters,
                                   std::string_view name, std::shared_ptr<Scope> outer,
                                   Arguments& arguments, const Value* caller) {
  if (calls_ >= limits_.max_call_depth) {
    throw RenderError{
        fmt::format("macros call each other deeper than {} levels", limits_.max_call_depth)};
  }
  ++calls_;
  struct Leave {
    int& calls;
    ~Leave() { --calls; }
  } leave{calls_};
  const int call_line = line_;
  const InScope scope(*this, std::make_shared<Scope>(std::move(outer)));
  if (arguments.positional.size() > parameters.size()) {
    throw RenderError{
        fmt::format("macro '{}' takes not more than {} argument(s)", name, parameters.size())};
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    Value value;
    auto& named = arguments.named;
    const auto by_name = std::find_if(named.begin(), named.end(), [&](const auto& argument) {
      return argument.first == parameter.name;
    });
    if (i < arguments.positional.size()) {
      value = arguments.positional[i];
      if (by_name != named.end()) {
        throw RenderError{fmt::format("macro '{}' got argument '{}' twice", name, parameter.name)};
      }
    } else if (by_name != named.end()) {
      value = by_name->second;
      named.erase(by_name);
    } else if (parameter.value) {
      value = eval(*parameter.value);
    } else {
      value = Value::undefined(fmt::format("parameter '{}' was not provided", parameter.name));
    }
    scope_->set(parameter.symbol, std::move(value));
  }
  if (!arguments.named.empty()) {
    throw RenderError{
        fmt::format("macro '{}' takes no keyword argument '{}'", name, arguments.named[0].first)};
  }
  const int caller_symbol = symbols_.find("caller");
  if (caller != nullptr && caller_symbol >= 0) scope_->set(caller_symbol, *caller);
  std::string text;
  exec(body, text);
  line_ = call_line;
  return text;
}

}  // namespace glmoe::jinja
