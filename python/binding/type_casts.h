// Names of the bound classes for the stubs, and casts that take more than one Python type.
#pragma once

#include <nanobind/nanobind.h>

#include "glmoe/config.h"
#include "glmoe/llm.h"
#include "glmoe/quantization.h"
#include "glmoe/request.h"
#include "python/binding/type_names.h"

namespace glmoe::python {

template <>
struct PythonName<QuantAlgo> {
  static constexpr const char* value = "QuantAlgo";
};
template <>
struct PythonName<QuantConfig> {
  static constexpr const char* value = "QuantConfig";
};
template <>
struct PythonName<ExpertScaleNormalizationMode> {
  static constexpr const char* value = "ExpertScaleNormalizationMode";
};
template <>
struct PythonName<MoeConfig> {
  static constexpr const char* value = "MoeConfig";
};
template <>
struct PythonName<Glm4MoeConfig> {
  static constexpr const char* value = "Glm4MoeConfig";
};
template <>
struct PythonName<KvCacheConfig> {
  static constexpr const char* value = "KvCacheConfig";
};

// A QuantAlgo, its name, or None for kNone. False: another type. Throws for an unknown name.
bool cast_quant_algo(nanobind::handle value, QuantAlgo& algo);

// A str, token ids (list, tuple, NumPy array or tensor), or {"prompt": ...} or
// {"prompt_token_ids": ...}. Throws TypeError saying what was wanted and found.
Prompt cast_prompt(nanobind::handle value);

}  // namespace glmoe::python
