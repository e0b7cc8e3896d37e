// The variable `loop` inside a for block.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace glmoe::jinja {

class LoopValue final : public Callable, public std::enable_shared_from_this<LoopValue> {
 public:
  explicit LoopValue(std::vector<Value> items) : items_(std::move(items)) {}

  size_t size() const { return items_.size(); }
  const Value& item(size_t i) const { return items_[i]; }
  void move_to(size_t index) { index_ = index; }

  std::optional<Value> attribute(std::string_view name) const override;
  // loop(...) recurses in recursive loops, which are not supported.
  Value call(Interpreter& interpreter, Arguments& arguments) override;
  std::string_view name() const override { return "loop"; }

  // loop.cycle(a, b, ...) and loop.changed(value, ...).
  Value cycle(const std::vector<Value>& values) const;
  bool changed(Interpreter& interpreter, const std::vector<Value>& values) const;

 private:
  std::vector<Value> items_;
  size_t index_ = 0;
  mutable std::optional<std::vector<Value>> last_changed_;
};

}  // namespace glmoe::jinja
