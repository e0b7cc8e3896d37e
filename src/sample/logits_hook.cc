#include "sample/logits_hook.h"

#include <exception>
#include <utility>

namespace glmoe {

LogitsHook::LogitsHook(std::shared_ptr<const LogitsProcessor> processor,
                       std::span<const int32_t> prompt_ids)
    : processor_(std::move(processor)) {
  if (processor_ != nullptr) tokens_.assign(prompt_ids.begin(), prompt_ids.end());
}

std::string LogitsHook::apply(std::span<float> logits) const {
  if (processor_ == nullptr) return "";
  try {
    (*processor_)(tokens_, logits);
  } catch (const std::exception& error) {
    return std::string("the logits processor failed: ") + error.what();
  } catch (...) {
    return "the logits processor failed: it threw something that is no std::exception";
  }
  return "";
}

}  // namespace glmoe
