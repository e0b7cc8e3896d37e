// Methods of lists and dicts, and binding a method to its object. Those of strings:
// string_methods.cc.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"

namespace glmoe::jinja {
namespace {

class Method final : public Callable {
 public:
  using Body = Value (*)(Interpreter&, const Value& self, std::string_view name, Arguments&);
  Method(Value self, std::string_view name, Body body)
      : self_(std::move(self)), name_(name), body_(body) {}
  Value call(Interpreter& interpreter, Arguments& arguments) override {
    interpreter.step();
    return body_(interpreter, self_, name_, arguments);
  }
  std::string_view name() const override { return name_; }

 private:
  Value self_;
  std::string name_;
  Body body_;
};

Value bind(const Value& self, std::string_view name, Method::Body body) {
  return Value(std::shared_ptr<Callable>(std::make_shared<Method>(self, name, body)));
}

Value string_method(Interpreter& interpreter, const Value& self, std::string_view name,
                    Arguments& arguments) {
  interpreter.step(self.as_string().size() / 256);
  return call_string_method(interpreter, self.as_string(), name, arguments);
}

Value dict_method(Interpreter& interpreter, const Value& self, std::string_view name,
                  Arguments& arguments) {
  const Dict& dict = self.as_dict();
  if (name == "get") {
    const Bound bound("get", arguments, {"key", "default"}, 1);
    const Value* found = dict.find(bound.at(0));
    if (found != nullptr) return *found;
    return bound.find(1) ? bound.at(1) : Value(None{});
  }
  const Bound bound(name, arguments, {});
  if (name == "copy") return self;
  std::vector<Value> items;
  for (const auto& entry : dict.entries()) {
    if (name == "items") {
      items.push_back(interpreter.make_list({entry.key, entry.value}, Flavor::kTuple));
    } else {
      items.push_back(name == "keys" ? entry.key : entry.value);
    }
  }
  return interpreter.make_list(std::move(items), Flavor::kDictView);
}

Value list_method(Interpreter& interpreter, const Value& self, std::string_view name,
                  Arguments& arguments) {
  const auto& items = self.as_list().items;
  if (name == "copy") return self;
  const Bound bound(name, arguments, {"value"}, 1);
  int64_t count = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!same(interpreter, items[i], bound.at(0))) continue;
    if (name == "index") return static_cast<int64_t>(i);
    ++count;
  }
  if (name == "index") throw RenderError{fmt::format("{} is not in list", to_str(bound.at(0)))};
  return count;
}

Value refused(Interpreter&, const Value& self, std::string_view name, Arguments&) {
  throw RenderError{
      fmt::format("'{}' would change a {}, which templates may not; use namespace() "
                  "and set, or + to make a new one",
                  name, type_name(self))};
}

bool is_any(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::optional<Value> find_method(const Value& object, std::string_view name) {
  if (object.is_string()) {
    if (has_string_method(name)) return bind(object, name, string_method);
  } else if (object.is_dict()) {
    if (is_any(name, {"items", "keys", "values", "get", "copy"})) {
      return bind(object, name, dict_method);
    }
    if (is_any(name, {"update", "pop", "popitem", "clear", "setdefault"})) {
      return bind(object, name, refused);
    }
  } else if (object.is_list(Flavor::kList) || object.is_list(Flavor::kTuple)) {
    if (is_any(name, {"index", "count"})) return bind(object, name, list_method);
    if (object.is_list(Flavor::kTuple)) return std::nullopt;
    if (name == "copy") return bind(object, name, list_method);
    if (is_any(name, {"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"})) {
      return bind(object, name, refused);
    }
  }
  return std::nullopt;
}

}  // namespace glmoe::jinja
