#include "python/binding/python_function.h"

#include <stdexcept>

namespace glmoe::python {

std::shared_ptr<nb::object> keep_alive(nb::object object) {
  return {new nb::object(std::move(object)), [](nb::object* kept) {
            if (!nb::is_alive()) return;  // the interpreter has gone: what it held has, too
            nb::gil_scoped_acquire gil;
            delete kept;
          }};
}

std::string take_error(nb::python_error& error) {
  std::string message = nb::cast<std::string>(nb::str(error.type().attr("__name__")));
  try {
    message += ": " + std::string(nb::str(error.value()).c_str());
  } catch (nb::python_error&) {
    message += " (which has no text)";
  }
  if (error.value().is_valid()) {
    PyException_SetTraceback(error.value().ptr(), Py_None);  // lets the frames go
  }
  return message;
}

// What memoryviews of it look into. It counts them: an array made of a memoryview holds another
// one, which the first one does not know of.
struct LentMemory {
  void* data = nullptr;
  Py_ssize_t count = 0;
  bool writable = false;
  const char* format = "f";
  int num_views = 0;
};

namespace {

constexpr Py_ssize_t kElementSize = 4;

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  auto* memory = nb::inst_ptr<LentMemory>(self);
  if ((flags & PyBUF_WRITABLE) != 0 && !memory->writable) {
    PyErr_SetString(PyExc_BufferError, "this memory is read-only");
    view->obj = nullptr;
    return -1;
  }
  static Py_ssize_t stride = kElementSize;
  view->buf = memory->data;
  view->obj = Py_NewRef(self);
  view->len = memory->count * kElementSize;
  view->itemsize = kElementSize;
  view->readonly = memory->writable ? 0 : 1;
  view->ndim = 1;
  view->format = (flags & PyBUF_FORMAT) != 0 ? const_cast<char*>(memory->format) : nullptr;
  view->shape = (flags & PyBUF_ND) != 0 ? &memory->count : nullptr;
  view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? &stride : nullptr;
  view->suboffsets = nullptr;
  view->internal = nullptr;
  ++memory->num_views;
  return 0;
}

void release_buffer(PyObject* self, Py_buffer*) { --nb::inst_ptr<LentMemory>(self)->num_views; }

}  // namespace

void bind_lent_memory(nb::module_& m) {
  static PyType_Slot slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(&get_buffer)},
                                {Py_bf_releasebuffer, reinterpret_cast<void*>(&release_buffer)},
                                {0, nullptr}};
  nb::class_<LentMemory>(m, "_LentMemory", nb::type_slots(slots),
                         "The engine's memory for the time of one call.");
}

LentView::LentView(void* data, size_t num_bytes, bool writable, const char* format) {
  memory_ = new LentMemory{.data = data,
                           .count = static_cast<Py_ssize_t>(num_bytes) / kElementSize,
                           .writable = writable,
                           .format = format};
  owner_ = nb::cast(memory_, nb::rv_policy::take_ownership);
  view_ = nb::steal(PyMemoryView_FromObject(owner_.ptr()));
  if (!view_.is_valid()) throw nb::python_error();
}

void LentView::close(const char* what) {
  std::string kept;
  try {
    view_.attr("release")();
  } catch (nb::python_error& error) {
    kept = take_error(error);
  }
  if (kept.empty() && memory_->num_views == 0) return;
  throw std::runtime_error(std::string("it kept a view of ") + what +
                           " after it returned: that memory is the engine's, keep a copy instead");
}

}  // namespace glmoe::python
