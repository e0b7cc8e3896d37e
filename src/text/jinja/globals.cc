// The functions that every template sees.
#include <fmt/format.h>

#include <ctime>

#include "text/jinja/library.h"
#include "text/jinja/limits.h"
#include "text/jinja/operators.h"

namespace glmoe::jinja {
namespace {

class Function final : public Callable {
 public:
  using Body = Value (*)(Interpreter&, Arguments&);
  Function(std::string_view name, Body body) : name_(name), body_(body) {}
  Value call(Interpreter& interpreter, Arguments& arguments) override {
    interpreter.step();
    return body_(interpreter, arguments);
  }
  std::string_view name() const override { return name_; }

 private:
  std::string name_;
  Body body_;
};

Value range(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("range", arguments, {"start", "stop", "step"}, 1);
  const bool one = bound.find(1) == nullptr;
  const int64_t start = one ? 0 : bound.integer(0, 0);
  const int64_t stop = bound.integer(one ? 0 : 1, 0);
  const int64_t step = bound.integer(2, 1);
  if (step == 0) throw RenderError{"range() arg 3 must not be zero"};
  std::vector<Value> items;
  int64_t i = start;
  while (step > 0 ? i < stop : i > stop) {
    if (static_cast<int64_t>(items.size()) >= kMaxRange) {
      throw RenderError{fmt::format("range too big: at most {} numbers", kMaxRange)};
    }
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return interpreter.make_list(std::move(items), Flavor::kRange);
}

Dict dict_of(Interpreter& interpreter, Arguments& arguments, std::string_view name) {
  Dict dict;
  if (arguments.positional.size() > 1) {
    throw RenderError{fmt::format("{}() takes at most one positional argument", name)};
  }
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is_dict()) {
      dict = source.as_dict();
      interpreter.step(dict.entries().size());
    } else {
      for (const Value& pair : iterate(interpreter, source)) {
        auto both = iterate(interpreter, pair);
        if (both.size() != 2 || both[0].nesting_depth() > 0) {
          throw RenderError{fmt::format("{}(): pairs of key and value were wanted", name)};
        }
        // Keys that are no strings are looked for one by one.
        if (!both[0].is_string()) interpreter.step(dict.entries().size() / 4);
        dict.set(std::move(both[0]), std::move(both[1]));
      }
    }
  }
  for (auto& [key, value] : arguments.named) dict.set(Value(key), std::move(value));
  return dict;
}

Value dict(Interpreter& interpreter, Arguments& arguments) {
  return Value::dict(dict_of(interpreter, arguments, "dict"));
}

Value make_namespace(Interpreter& interpreter, Arguments& arguments) {
  return interpreter.new_namespace(dict_of(interpreter, arguments, "namespace"));
}

Value raise_exception(Interpreter&, Arguments& arguments) {
  const Bound bound("raise_exception", arguments, {"message"}, 1);
  throw RenderError{fmt::format("the template refused the input: {}", to_str(bound.at(0)))};
}

Value strftime_now(Interpreter& interpreter, Arguments& arguments) {
  const Bound bound("strftime_now", arguments, {"format"}, 1);
  const std::string format = bound.string(0, "");
  if (format.size() > 256) throw RenderError{"strftime_now: a format of more than 256 bytes"};
  if (format.empty()) return Value("");
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::string text(8192, '\0');
  // One more character tells an empty result from one that did not fit.
  text.resize(std::strftime(text.data(), text.size(), (format + ".").c_str(), &parts));
  if (text.empty()) throw RenderError{"strftime_now: the result is too long"};
  text.pop_back();
  return interpreter.make_string(std::move(text));
}

// joiner(", "): nothing the first time it is called, then the separator.
class Joiner final : public Callable {
 public:
  explicit Joiner(std::string separator) : separator_(std::move(separator)) {}
  Value call(Interpreter&, Arguments&) override {
    if (used_) return Value(separator_);
    used_ = true;
    return Value("");
  }
  std::string_view name() const override { return "joiner"; }

 private:
  std::string separator_;
  bool used_ = false;
};

Value joiner(Interpreter&, Arguments& arguments) {
  const Bound bound("joiner", arguments, {"sep"});
  return Value(std::shared_ptr<Callable>(std::make_shared<Joiner>(bound.string(0, ", "))));
}

}  // namespace

Value function(std::string_view name, Value (*body)(Interpreter&, Arguments&)) {
  return Value(std::shared_ptr<Callable>(std::make_shared<Function>(name, body)));
}

void add_globals(Interpreter& interpreter) {
  interpreter.set_global("range", function("range", range));
  interpreter.set_global("dict", function("dict", dict));
  interpreter.set_global("namespace", function("namespace", make_namespace));
  interpreter.set_global("raise_exception", function("raise_exception", raise_exception));
  interpreter.set_global("strftime_now", function("strftime_now", strftime_now));
  interpreter.set_global("joiner", function("joiner", joiner));
}

}  // namespace glmoe::jinja
