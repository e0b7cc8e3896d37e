#include "tensor/element_kind.h"

#include "base/error.h"

namespace glmoe {

DType dtype_of(ElementKind kind, const char* what) {
  switch (kind) {
    case ElementKind::kFloat32: return DType::kF32;
    case ElementKind::kBfloat16: return DType::kBF16;
    case ElementKind::kFloat16: return DType::kF16;
  }
  fail_argument("{}: unknown kind of elements {}", what, static_cast<int>(kind));
}

}  // namespace glmoe
