// Monotonic time in milliseconds, and an interface so that the scheduler's clock can be injected.
#pragma once

#include <chrono>

namespace glmoe {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual double now_ms() const = 0;
};

class SteadyClock final : public Clock {
 public:
  double now_ms() const override {
    return std::chrono::duration<double, std::milli>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace glmoe
