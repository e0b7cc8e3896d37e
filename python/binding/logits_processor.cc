#include "python/binding/logits_processor.h"

#include <nanobind/ndarray.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

#include "python/binding/python_function.h"

namespace glmoe::python {
namespace {

// function(token_ids, logits): memoryviews of 32-bit integers and of floats. What it returns, where
// it is not None, takes the logits' place.
class PythonProcessor {
 public:
  explicit PythonProcessor(nb::object function) : function_(keep_alive(std::move(function))) {}

  const nb::object& function() const { return *function_; }
  bool is_only_copy() const { return function_.use_count() == 1; }

  void operator()(std::span<const int32_t> tokens, std::span<float> logits) const {
    nb::gil_scoped_acquire gil;
    LentView token_view(const_cast<int32_t*>(tokens.data()), tokens.size_bytes(), false, "i");
    LentView logit_view(logits.data(), logits.size_bytes(), true, "f");
    std::string error;
    try {
      const nb::object changed = (*function_)(token_view.view(), logit_view.view());
      if (!changed.is_none()) take(changed, logits);
    } catch (nb::python_error& raised) {
      error = take_error(raised);
    } catch (const std::runtime_error& refused) {
      error = refused.what();
    }
    token_view.close("the token ids");
    logit_view.close("the logits");
    if (!error.empty()) throw std::runtime_error(error);
  }

 private:
  static void take(const nb::object& changed, std::span<float> logits) {
    using Row = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
    Row row;
    if (!nb::try_cast(changed, row, false) || row.shape(0) != logits.size()) {
      throw std::runtime_error("it returned something else than None or a row of " +
                               std::to_string(logits.size()) + " float32 logits");
    }
    if (row.data() != logits.data()) std::copy_n(row.data(), logits.size(), logits.data());
  }

  std::shared_ptr<nb::object> function_;
};

}  // namespace

bool cast_logits_processor(nb::handle value, LogitsProcessor& processor) {
  if (value.is_none()) {
    processor = nullptr;
    return true;
  }
  if (!PyCallable_Check(value.ptr())) return false;
  processor = PythonProcessor(nb::borrow(value));
  return true;
}

int visit_logits_processor(const LogitsProcessor& processor, visitproc visit, void* arg) {
  const auto* own = processor.target<PythonProcessor>();
  if (own != nullptr && own->is_only_copy()) Py_VISIT(own->function().ptr());
  return 0;
}

nb::object logits_processor_object(const LogitsProcessor& processor) {
  const auto* own = processor.target<PythonProcessor>();
  return own == nullptr ? nb::none() : own->function();
}

}  // namespace glmoe::python
