// A Python callable that the engine's threads hold, copy and call.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <memory>
#include <string>

namespace glmoe::python {

namespace nb = nanobind;

// Keeps a Python object from any thread: copies touch no reference count, and the last one takes
// the GIL to let it go. Where the interpreter has ended, nothing is let go.
std::shared_ptr<nb::object> keep_alive(nb::object object);

// "TypeError: ..." of what was raised; the exception and its frames are gone afterwards, so that
// views which the function's variables held are gone, too.
std::string take_error(nb::python_error& error);

struct LentMemory;

// Memory of the engine shown to Python for the time of one call: a memoryview of floats ("f") or of
// 32-bit integers ("i"), which close() makes unusable. With the GIL held.
class LentView {
 public:
  LentView(void* data, size_t num_bytes, bool writable, const char* format);
  const nb::object& view() const { return view_; }
  // Throws std::runtime_error where somebody kept a view of it (an array made of it).
  void close(const char* what);

 private:
  LentMemory* memory_ = nullptr;  // owner_'s
  nb::object owner_, view_;
};

// The type behind it; before the first LentView.
void bind_lent_memory(nb::module_& m);

}  // namespace glmoe::python
