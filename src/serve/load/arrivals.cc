#include "serve/load/arrivals.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/rng.h"

namespace glmoe::serve {
namespace {
constexpr uint64_t kStream = 0xa11;  // keeps these numbers apart from the prompts'
}

double Arrivals::next() {
  if (options_.rate_per_s <= 0.0 || arrived_++ == 0) return 0.0;
  // A product has no rounding that adds up over a long run.
  if (options_.burstiness <= 0.0) return static_cast<double>(arrived_ - 1) / options_.rate_per_s;
  time_s_ += gap();
  return time_s_;
}

double Arrivals::gap() {
  const double shape = options_.burstiness;
  return gamma(shape) / (shape * options_.rate_per_s);
}

double Arrivals::uniform() {
  // Not 0, whose logarithm does not exist.
  return std::max(random_uniform(options_.seed, kStream, drawn_++), 0x1.0p-60);
}

// Box and Muller 1958.
double Arrivals::normal() {
  const double radius = std::sqrt(-2.0 * std::log(uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

// Marsaglia and Tsang 2000; for a shape below 1 by way of shape + 1.
double Arrivals::gamma(double shape) {
  if (shape == 1.0) return -std::log(uniform());
  if (shape < 1.0) {
    const double scale = std::pow(uniform(), 1.0 / shape);
    return gamma(shape + 1.0) * scale;
  }
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = normal();
    const double v = std::pow(1.0 + c * x, 3.0);
    if (v <= 0.0) continue;
    if (std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

}  // namespace glmoe::serve
