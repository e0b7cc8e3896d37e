// A caller's logits processor and the tokens that it is shown: one a sequence, empty for most.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "step/step.h"

namespace glmoe {

class LogitsHook {
 public:
  LogitsHook() = default;
  // `processor` may be null: then nothing is kept and nothing done.
  LogitsHook(std::shared_ptr<const LogitsProcessor> processor, std::span<const int32_t> prompt_ids);

  bool empty() const { return processor_ == nullptr; }
  // A token of the answer.
  void record(int32_t token_id) {
    if (processor_ != nullptr) tokens_.push_back(token_id);
  }
  // Lets it change the row [V]. What went wrong, for the sequence's error; "" otherwise.
  std::string apply(std::span<float> logits) const;

 private:
  std::shared_ptr<const LogitsProcessor> processor_;
  std::vector<int32_t> tokens_;  // prompt and answer
};

}  // namespace glmoe
