// When the requests of an open loop are sent.
#pragma once

#include <cstdint>

namespace glmoe::serve {

struct ArrivalOptions {
  double rate_per_s = 0.0;  // 0: all at once
  // Shape of the gamma distribution of the gaps: 1 is a Poisson process, less comes in bursts, more
  // is more even; 0: every gap is the same.
  double burstiness = 1.0;
  uint64_t seed = 0;
};

// Times of arrival in seconds, one call a request. The same seed gives the same times.
class Arrivals {
 public:
  explicit Arrivals(const ArrivalOptions& options) : options_(options) {}
  double next();  // never less than the last; the first is 0

 private:
  double gap();
  double uniform();
  double normal();
  double gamma(double shape);  // of mean `shape`

  ArrivalOptions options_;
  uint64_t drawn_ = 0;
  uint64_t arrived_ = 0;
  double time_s_ = 0.0;
};

}  // namespace glmoe::serve
