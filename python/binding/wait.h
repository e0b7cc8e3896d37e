// Waiting for the engine without the GIL, in slices, so that ctrl-C is seen.
#pragma once

#include <nanobind/nanobind.h>

namespace glmoe::python {

constexpr double kSliceMs = 100.0;

// Throws what a signal's handler raised (KeyboardInterrupt). Only the main thread sees signals.
inline void check_signals() {
  if (PyErr_CheckSignals() != 0) throw nanobind::python_error();
}

// `wait(ms)`: true where that came which was waited for. Called without the GIL.
template <class Wait>
void wait_in_slices(const Wait& wait) {
  for (bool come = false; !come;) {
    {
      nanobind::gil_scoped_release release;
      come = wait(kSliceMs);
    }
    check_signals();
  }
}

}  // namespace glmoe::python
