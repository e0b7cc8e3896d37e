#include "step/id_list.h"

#include <limits>

namespace glmoe {

void IdList::move_to(size_t capacity) {
  GLMOE_CHECK_LE(capacity, static_cast<size_t>(std::numeric_limits<int32_t>::max()));
  auto* const memory = new int32_t[capacity];
  std::copy(begin(), end(), memory);
  free_memory();
  storage_.elsewhere = memory;
  capacity_ = static_cast<uint32_t>(capacity);
}

}  // namespace glmoe
