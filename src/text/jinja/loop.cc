#include "text/jinja/loop.h"

#include "text/jinja/arguments.h"
#include "text/jinja/operators.h"

namespace glmoe::jinja {
namespace {

class LoopMethod final : public Callable {
 public:
  LoopMethod(std::shared_ptr<const LoopValue> loop, std::string_view name)
      : loop_(std::move(loop)), name_(name) {}
  Value call(Interpreter& interpreter, Arguments& arguments) override {
    if (name_ == "cycle") return loop_->cycle(arguments.positional);
    return loop_->changed(interpreter, arguments.positional);
  }
  std::string_view name() const override { return name_; }

 private:
  std::shared_ptr<const LoopValue> loop_;
  std::string_view name_;  // of a literal
};

}  // namespace

std::optional<Value> LoopValue::attribute(std::string_view name) const {
  const auto index = static_cast<int64_t>(index_);
  const auto count = static_cast<int64_t>(items_.size());
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "revindex") return Value(count - index);
  if (name == "revindex0") return Value(count - index - 1);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 == count);
  if (name == "length") return Value(count);
  if (name == "depth") return Value(1);
  if (name == "depth0") return Value(0);
  if (name == "previtem") {
    return index == 0 ? Value::undefined("there is no previous item") : items_[index_ - 1];
  }
  if (name == "nextitem") {
    return index + 1 == count ? Value::undefined("there is no next item") : items_[index_ + 1];
  }
  for (const std::string_view method : {"cycle", "changed"}) {
    if (name != method) continue;
    return Value(
        std::shared_ptr<Callable>(std::make_shared<LoopMethod>(shared_from_this(), method)));
  }
  return std::nullopt;
}

Value LoopValue::call(Interpreter&, Arguments&) {
  throw RenderError{"recursive loops are not supported", ErrorCode::kUnsupported};
}

Value LoopValue::cycle(const std::vector<Value>& values) const {
  if (values.empty()) throw RenderError{"no items for cycling given"};
  return values[index_ % values.size()];
}

bool LoopValue::changed(Interpreter& interpreter, const std::vector<Value>& values) const {
  bool unchanged = last_changed_ && last_changed_->size() == values.size();
  for (size_t i = 0; unchanged && i < values.size(); ++i) {
    unchanged = same(interpreter, (*last_changed_)[i], values[i]);
  }
  if (!unchanged) last_changed_ = values;
  return !unchanged;
}

}  // namespace glmoe::jinja
