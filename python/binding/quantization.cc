// QuantAlgo, QuantMode and QuantConfig, with the names that TensorRT-LLM users write.
#include "glmoe/quantization.h"

#include <nanobind/nanobind.h>
#include <nanobind/operators.h>
#include <nanobind/stl/string_view.h>

#include "glmoe/error.h"
#include "python/binding/bind.h"
#include "python/binding/fields.h"
#include "python/binding/type_casts.h"

namespace glmoe::python {
namespace {

constexpr QuantAlgo kAlgos[] = {
    QuantAlgo::kNone,           QuantAlgo::kFp8,      QuantAlgo::kFp8PerChannelPerToken,
    QuantAlgo::kFp8BlockScales, QuantAlgo::kInt8,     QuantAlgo::kW8A16,
    QuantAlgo::kW4A16,          QuantAlgo::kW4A16Awq, QuantAlgo::kW4A16Gptq,
    QuantAlgo::kNvfp4};

struct NamedFlag {
  const char* name;
  QuantMode::Flag flag;
};
constexpr NamedFlag kFlags[] = {{"INT4_WEIGHTS", QuantMode::kInt4Weights},
                                {"INT8_WEIGHTS", QuantMode::kInt8Weights},
                                {"ACTIVATIONS", QuantMode::kActivations},
                                {"PER_CHANNEL", QuantMode::kPerChannel},
                                {"PER_TOKEN", QuantMode::kPerToken},
                                {"PER_GROUP", QuantMode::kPerGroup},
                                {"INT8_KV_CACHE", QuantMode::kInt8KvCache},
                                {"FP8_KV_CACHE", QuantMode::kFp8KvCache},
                                {"FP8_QDQ", QuantMode::kFp8Qdq},
                                {"FP8_ROWWISE", QuantMode::kFp8Rowwise},
                                {"NVFP4_KV_CACHE", QuantMode::kNvfp4KvCache}};

std::string to_string(QuantMode mode) {
  if (!mode.has_any_quant()) return "QuantMode(0)";
  std::string text;
  const auto add = [&text](const std::string& name) {
    text += (text.empty() ? "" : " | ") + ("QuantMode." + name);
  };
  for (const NamedFlag& entry : kFlags) {
    if (mode.has(entry.flag)) add(entry.name);
  }
  if (mode.has_fp8_block_scales()) add("FP8_BLOCK_SCALES");
  if (mode.has_nvfp4()) add("NVFP4");
  return text;
}

// The first algorithm (and that of the KV cache) with just these flags.
void set_mode(QuantConfig& config, QuantMode mode) {
  for (const QuantAlgo kv_algo :
       {QuantAlgo::kNone, QuantAlgo::kFp8, QuantAlgo::kInt8, QuantAlgo::kNvfp4}) {
    for (const QuantAlgo algo : kAlgos) {
      if (!(QuantMode::from_quant_algo(algo, kv_algo) == mode)) continue;
      config.quant_algo = algo;
      config.kv_cache_quant_algo = kv_algo;
      return;
    }
  }
  throw Error(ErrorCode::kInvalidArgument,
              "quant_mode: no algorithm is described by " + to_string(mode) +
                  ": give quant_algo instead, for example QuantAlgo.W4A16");
}

bool cast_mode(QuantConfig& config, nb::handle value) {
  QuantMode mode;
  if (!nb::try_cast<QuantMode>(value, mode)) return false;
  set_mode(config, mode);
  return true;
}

// QuantMode.FP8 lives in QuantMode's dictionary and refers to its class: a cycle, which is freed at
// the interpreter's end only if the collector is told of the second half.
int visit_class(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return 0;
}

void bind_mode(nb::module_& m) {
  static PyType_Slot slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(&visit_class)},
                                {0, nullptr}};
  nb::class_<QuantMode> mode(m, "QuantMode", nb::type_slots(slots),
                             "Properties of a quantisation as a set of flags: QuantMode.FP8, "
                             "QuantMode.use_weight_only(), INT8_WEIGHTS | PER_CHANNEL, ...");
  using M = QuantMode;
  mode.def(nb::init<uint32_t>(), nb::arg("flags") = 0)
      .def_static("use_weight_only", &M::use_weight_only, nb::arg("use_int4_weights") = false,
                  nb::arg("per_group") = false, "INT8 weights, or INT4 ones.")
      .def_static("use_smooth_quant", &M::use_smooth_quant, nb::arg("per_token") = false,
                  nb::arg("per_channel") = false, "INT8 weights and activations.")
      .def_static("from_quant_algo", &M::from_quant_algo, nb::arg("quant_algo"),
                  nb::arg("kv_cache_quant_algo") = QuantAlgo::kNone)
      .def_static("from_description", &M::from_description, nb::arg("quantize_weights") = false,
                  nb::arg("quantize_activations") = false, nb::arg("per_token") = false,
                  nb::arg("per_channel") = false, nb::arg("per_group") = false,
                  nb::arg("use_int4_weights") = false, nb::arg("use_int8_kv_cache") = false,
                  nb::arg("use_fp8_kv_cache") = false,
                  "Raises Error (invalid_argument) where these contradict each other.")
      .def_prop_ro("value", &M::flags, "The flags as one number.")
      .def("is_weight_only", &M::is_weight_only)
      .def("is_int8_weight_only", &M::is_int8_weight_only)
      .def("is_int4_weight_only", &M::is_int4_weight_only)
      .def("has_act_and_weight_quant", &M::has_act_and_weight_quant)
      .def("has_per_group_scaling", &M::has_per_group_scaling)
      .def("has_fp8_qdq", &M::has_fp8_qdq)
      .def("has_fp8_rowwise", &M::has_fp8_rowwise)
      .def("has_fp8_block_scales", &M::has_fp8_block_scales)
      .def("has_nvfp4", &M::has_nvfp4)
      .def("has_int8_kv_cache", &M::has_int8_kv_cache)
      .def("has_fp8_kv_cache", &M::has_fp8_kv_cache)
      .def("has_any_quant", &M::has_any_quant)
      .def("__or__", [](M a, M b) { return M(a.flags() | b.flags()); })
      .def("__and__", [](M a, M b) { return M(a.flags() & b.flags()); })
      .def("__bool__", &M::has_any_quant)
      .def("__int__", &M::flags)
      .def(
          "__eq__", [](M a, nb::handle b) { return nb::isinstance<M>(b) && nb::cast<M>(b) == a; },
          nb::sig("def __eq__(self, other: object, /) -> bool"))
      .def("__hash__", &M::flags)
      .def("__repr__", &to_string)
      .def("__getstate__", &M::flags)
      .def("__setstate__", [](M* self, uint32_t flags) { new (self) M(flags); });
  const auto constant = [&mode](const char* name, M value) { mode.attr(name) = nb::cast(value); };
  constant("NONE", M());
  for (const NamedFlag& entry : kFlags) constant(entry.name, M(entry.flag));
  constant("FP8", M::from_quant_algo(QuantAlgo::kFp8));
  constant("FP8_PER_CHANNEL_PER_TOKEN", M::from_quant_algo(QuantAlgo::kFp8PerChannelPerToken));
  constant("FP8_BLOCK_SCALES", M::from_quant_algo(QuantAlgo::kFp8BlockScales));
  constant("FP8_1x128_128x128", M::from_quant_algo(QuantAlgo::kFp8BlockScales));
  constant("NVFP4", M::from_quant_algo(QuantAlgo::kNvfp4));
}

}  // namespace

bool cast_quant_algo(nb::handle value, QuantAlgo& algo) {
  if (value.is_none()) {
    algo = QuantAlgo::kNone;
    return true;
  }
  std::string name;
  if (!nb::try_cast<std::string>(value, name)) return nb::try_cast<QuantAlgo>(value, algo);
  algo = quant_algo_from_name(name);
  return true;
}

void bind_quantization(nb::module_& m) {
  nb::enum_<QuantAlgo> algo(m, "QuantAlgo",
                            "The algorithm as configuration files spell it; arguments take the "
                            "name as well.");
  for (const QuantAlgo value : kAlgos) algo.value(quant_algo_name(value).data(), value);
  bind_mode(m);

  const auto algo_field = [](const char* name, QuantAlgo QuantConfig::*member, const char* doc) {
    return Fields<QuantConfig>::Field{
        name,
        "QuantAlgo",
        "QuantAlgo | str | None",
        doc,
        [member](QuantConfig& self, nb::handle value) {
          return cast_quant_algo(value, self.*member);
        },
        [member](const QuantConfig& self) { return nb::cast(self.*member); }};
  };
  Fields<QuantConfig>(m, "QuantConfig", "How weights, activations and KV cache are quantised.")
      .add_custom(algo_field("quant_algo", &QuantConfig::quant_algo,
                             "Of weights and activations; None and NO_QUANT: not quantised."))
      .add_custom(algo_field("kv_cache_quant_algo", &QuantConfig::kv_cache_quant_algo,
                             "Of the KV cache: FP8, INT8, NVFP4 or None."))
      .add("group_size", &QuantConfig::group_size,
           "Weights that share a scale, along the input dimension.")
      .add("has_zero_point", &QuantConfig::has_zero_point, "Of W4A16 formats.")
      .add("pre_quant_scale", &QuantConfig::pre_quant_scale,
           "Activations are scaled before they are quantised (AWQ).")
      .add("exclude_modules", &QuantConfig::exclude_modules,
           "Names of what stays unquantised; '*' matches any run of characters.")
      .add_custom({.name = "quant_mode",
                   .type = "QuantMode",
                   .wanted = "QuantMode",
                   .doc = "The same as flags. Setting it sets quant_algo and kv_cache_quant_algo.",
                   .set = &cast_mode,
                   .get = [](const QuantConfig& self) { return nb::cast(self.quant_mode()); },
                   .is_alias = true})
      .finish()
      .def("validate", &QuantConfig::validate, "Raises Error (invalid_argument) naming the field.");
}

}  // namespace glmoe::python
