// Tensors between the engine and Python, by DLPack and without a copy: logits and hidden states
// out, a state_dict in. Parts that PyTorch's side (python/glmoe/torch) alone uses are in forward.cc
// and moe.cc.
#include "glmoe/tensor.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "glmoe/error.h"
#include "glmoe/llm.h"
#include "python/binding/bind.h"
#include "python/binding/engine_handle.h"
#include "python/binding/fields.h"
#include "python/binding/python_function.h"

namespace glmoe::python {
namespace {

nb::dlpack::dtype dtype_of(ElementKind kind) {
  using Code = nb::dlpack::dtype_code;
  switch (kind) {
    case ElementKind::kFloat32: return {static_cast<uint8_t>(Code::Float), 32, 1};
    case ElementKind::kBfloat16: return {static_cast<uint8_t>(Code::Bfloat), 16, 1};
    case ElementKind::kFloat16: return {static_cast<uint8_t>(Code::Float), 16, 1};
  }
  throw Error(ErrorCode::kInternal, "an unknown kind of elements");
}

bool kind_of(const nb::dlpack::dtype& dtype, ElementKind& kind) {
  for (const ElementKind known :
       {ElementKind::kFloat32, ElementKind::kBfloat16, ElementKind::kFloat16}) {
    if (dtype_of(known) == dtype) {
      kind = known;
      return true;
    }
  }
  return false;
}

// An object with __dlpack__ (and the buffer protocol on the CPU) on the engine's own memory.
nb::object lent(const Tensor& tensor) {
  auto* owner = new std::shared_ptr<const void>(tensor.owner);
  const nb::capsule capsule(
      owner, [](void* held) noexcept { delete static_cast<std::shared_ptr<const void>*>(held); });
  std::vector<size_t> shape(tensor.shape.begin(), tensor.shape.end());
  const bool on_cpu = tensor.device == Tensor::kCpu;
  return nb::cast(nb::ndarray<nb::array_api>(
      tensor.data, shape.size(), shape.data(), capsule, nullptr, dtype_of(tensor.kind),
      on_cpu ? nb::device::cpu::value : nb::device::cuda::value, on_cpu ? 0 : tensor.device));
}

// One of a state_dict's.
NamedTensor borrow_tensor(const std::string& name, nb::handle value) {
  using Any = nb::ndarray<nb::ro>;
  Any array;
  if (!nb::try_cast(value, array, /*convert=*/false)) {
    PyErr_Clear();
    throw_wrong_type("state_dict", name, "a tensor that gives itself by DLPack", value);
  }
  NamedTensor result;
  result.name = name;
  if (!kind_of(array.dtype(), result.tensor.kind)) {
    throw Error(ErrorCode::kUnsupported,
                "state_dict: tensor '" + name +
                    "': float32, bfloat16 or float16 was wanted, found elements of " +
                    std::to_string(array.dtype().bits) + " bits of another kind");
  }
  int64_t expected = 1;
  for (size_t axis = array.ndim(); axis-- > 0;) {
    if (array.shape(axis) != 1 && array.stride(axis) != expected) {
      throw Error(ErrorCode::kInvalidArgument,
                  "state_dict: tensor '" + name + "' is not contiguous: call .contiguous() on it");
    }
    expected *= static_cast<int64_t>(array.shape(axis));
    result.tensor.shape.insert(result.tensor.shape.begin(),
                               static_cast<int64_t>(array.shape(axis)));
  }
  result.tensor.data = const_cast<void*>(static_cast<const void*>(array.data()));
  if (array.device_type() != nb::device::cpu::value) result.tensor.device = array.device_id();
  result.tensor.owner = keep_alive(nb::cast(std::move(array)));
  return result;
}

void lend_state_dict(LlmOptions& options, const nb::dict& state_dict) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, value] : state_dict) {
    std::string key;
    if (!nb::try_cast(name, key)) throw_wrong_type("state_dict", "each name", "str", name);
    tensors.push_back(borrow_tensor(key, value));
  }
  options.state_dict = std::move(tensors);
}

using Rows = std::vector<std::vector<int32_t>>;

nb::list prompt_rows(const EngineHandle& engine, const Rows& rows,
                     std::vector<Tensor> (LLM::*method)(const Rows&)) {
  std::vector<Tensor> tensors;
  {
    nb::gil_scoped_release release;
    const std::shared_ptr<LLM> llm = engine.get();
    tensors = ((*llm).*method)(rows);
  }
  nb::list result;
  for (const Tensor& tensor : tensors) result.append(lent(tensor));
  return result;
}

}  // namespace

void bind_forward(nb::module_& m);
void bind_moe(nb::module_& m);

void bind_tensors(nb::module_& m) {
  m.def(
      "prompt_logits",
      [](const EngineHandle& engine, const Rows& rows) {
        return prompt_rows(engine, rows, &LLM::logits_tensors);
      },
      nb::arg("engine"), nb::arg("token_ids"), "Logits of every position of each row.");
  m.def(
      "hidden_states",
      [](const EngineHandle& engine, const Rows& rows) {
        return prompt_rows(engine, rows, &LLM::hidden_states);
      },
      nb::arg("engine"), nb::arg("token_ids"), "What the head reads, of every position.");
  m.def("lend_state_dict", &lend_state_dict, nb::arg("options"), nb::arg("state_dict"),
        "The weights of the engine that is made of these options.");
  bind_lent_memory(m);
  bind_forward(m);
  bind_moe(m);
}

}  // namespace glmoe::python
