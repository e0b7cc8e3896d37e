#include "base/fault.h"

#include <charconv>

#include "base/error.h"

namespace glmoe {
namespace {

FaultKind kind_of(std::string_view name) {
  if (name == "nan_logits") return FaultKind::kNanLogits;
  if (name == "step_error") return FaultKind::kStepError;
  if (name == "gpu_lost") return FaultKind::kGpuLost;
  if (name == "gpu_oom") return FaultKind::kGpuOutOfMemory;
  return FaultKind::kNone;
}

}  // namespace

Fault parse_fault(std::string_view text) {
  if (text.empty()) return {};
  const size_t colon = text.find(':');
  const bool has_step = colon != std::string_view::npos;
  const std::string_view number = has_step ? text.substr(colon + 1) : "";
  Fault fault{.kind = kind_of(text.substr(0, colon))};
  const auto [end, status] =
      std::from_chars(number.data(), number.data() + number.size(), fault.step);
  const bool is_number = status == std::errc() && end == number.data() + number.size();
  const bool wants_step = fault.kind != FaultKind::kGpuOutOfMemory;
  const bool fits = wants_step ? is_number && fault.step > 0 : !has_step;
  if (fault.kind == FaultKind::kNone || !fits) {
    fail_argument(
        "environment variable GLMOE_FAULT='{}': nan_logits:STEP, step_error:STEP, gpu_lost:STEP "
        "(STEP from 1) or gpu_oom was wanted",
        text);
  }
  return fault;
}

void maybe_fail_step(const Fault& fault, uint64_t step_id) {
  if (!fault.strikes(FaultKind::kStepError, step_id)) return;
  fail(ErrorCode::kInternal, "step {} fails, as GLMOE_FAULT asks", step_id);
}

}  // namespace glmoe
