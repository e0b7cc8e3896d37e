// Glm4MoeConfig, MoeConfig and Mapping.
#include "glmoe/config.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string_view.h>

#include "glmoe/mapping.h"
#include "python/binding/bind.h"
#include "python/binding/fields.h"
#include "python/binding/type_casts.h"

namespace glmoe::python {
namespace {

using Mode = ExpertScaleNormalizationMode;

nb::object bind_mode(nb::module_& m) {
  nb::enum_<Mode> mode(m, "ExpertScaleNormalizationMode", nb::is_arithmetic(),
                       "How router logits become the weights of the chosen experts.");
  const auto value = [&mode](Mode entry, const char* doc) {
    mode.value(normalization_mode_name(entry).data(), entry, doc);
  };
  value(Mode::kNone, "softmax over all experts; the top k keep their probability");
  value(Mode::kRenormalize, "the same, divided by their sum");
  value(Mode::kSparseMixer, "SparseMixer, top_k 2, with sparse_mixer_epsilon");
  value(Mode::kDeviceLimited, "softmax, group-limited choice, scaled");
  value(Mode::kDeviceLimitedRenorm, "the same, divided by the sum of the chosen");
  value(Mode::kSigmoidBiasRenorm, "GLM-4 MoE: sigmoid; a bias only to choose");
  return mode;
}

void bind_moe(nb::module_& m) {
  Fields<MoeConfig> fields(m, "MoeConfig", "The experts of one layer and how they are chosen.");
  using C = MoeConfig;
  fields.add("num_experts", &C::num_experts, "Routed experts of a layer.")
      .add("top_k", &C::top_k, "Experts that a token goes to.")
      .add("normalization_mode", &C::normalization_mode, "How their weights are computed.")
      .add("sparse_mixer_epsilon", &C::sparse_mixer_epsilon, "SPARSE_MIXER only.")
      .add("n_group", &C::n_group, "Groups of experts; num_experts is divisible by it.")
      .add("topk_group", &C::topk_group, "Groups that may be chosen from.")
      .add("routed_scaling_factor", &C::routed_scaling_factor,
           "DEVICE_LIMITED and SIGMOID_BIAS_RENORM only.")
      .add("norm_topk_prob", &C::norm_topk_prob,
           "SIGMOID_BIAS_RENORM only: divide by the sum of the chosen.")
      .add("moe_intermediate_size", &C::moe_intermediate_size, "Inner width of one expert.")
      .add("num_shared_experts", &C::num_shared_experts,
           "Always-on experts, fused into one MLP of width moe_intermediate_size * this.");
  nb::class_<C>& moe = fields.finish();
  moe.def("has_moe", &C::has_moe)
      .def_prop_ro("shared_expert_intermediate_size", &C::shared_expert_intermediate_size)
      .def("validate", &C::validate, "Raises Error (invalid_argument) naming the field.");
  moe.attr("ExpertScaleNormalizationMode") = m.attr("ExpertScaleNormalizationMode");
}

void bind_mapping(nb::module_& m) {
  using C = Mapping;
  nb::class_<C>& mapping =
      Fields<C>(m, "Mapping",
                "How ranks divide the model. world_size is tp*pp*cp (the experts inside the TP "
                "group) or tp*pp*cp*ep (expert groups beside each other). Raises Error "
                "(invalid_argument) naming the fields where they do not go together.")
          .add("world_size", &C::world_size, "Ranks; 0: tp_size * pp_size * cp_size.")
          .add("rank", &C::rank, "This rank, from 0.")
          .add("gpus_per_node", &C::gpus_per_node, "GPUs of one host.")
          .positional(3)
          .add("tp_size", &C::tp_size, "Tensor parallelism.")
          .add("pp_size", &C::pp_size, "Pipeline parallelism.")
          .add("cp_size", &C::cp_size, "Context parallelism.")
          .add("ep_size", &C::ep_size, "Ranks over which the experts are divided.")
          .alias("moe_ep_size", "Another name of ep_size.")
          .add("moe_tp_size", &C::moe_tp_size,
               "Ranks over which one expert is divided; 0: derived from the others.")
          .checked([](C& self) { self = self.resolved(); })
          .finish();
  mapping.def("at_rank", &C::at_rank, nb::arg("rank"), "The same mapping seen from another rank.")
      .def_prop_ro("tp_rank", &C::tp_rank)
      .def_prop_ro("pp_rank", &C::pp_rank)
      .def_prop_ro("cp_rank", &C::cp_rank)
      .def_prop_ro("moe_tp_rank", &C::moe_tp_rank)
      .def_prop_ro("moe_ep_rank", &C::moe_ep_rank)
      .def_prop_ro("node_rank", &C::node_rank)
      .def(
          "pp_layers",
          [](const C& self, int64_t num_layers) {
            std::vector<int64_t> layers;
            const int64_t first = self.first_layer(num_layers);
            for (int64_t i = 0; i < self.num_stage_layers(num_layers); ++i) {
              layers.push_back(first + i);
            }
            return layers;
          },
          nb::arg("num_layers"), "The layers of this rank's pipeline stage.")
      .def("__str__", &C::to_string);
}

// A field of config.moe under Hugging Face's (or a shorter) name.
template <class M>
Fields<Glm4MoeConfig>::Field moe_alias(const char* name, M MoeConfig::*member) {
  return {name,
          python_type<M>(),
          python_type<M>(),
          "Of moe.",
          [member](Glm4MoeConfig& self, nb::handle value) {
            return nb::try_cast<M>(value, self.moe.*member);
          },
          [member](const Glm4MoeConfig& self) { return nb::cast(self.moe.*member); },
          true};
}

void add_sizes(Fields<Glm4MoeConfig>& fields) {
  using C = Glm4MoeConfig;
  fields.add("architecture", &C::architecture, "Always Glm4MoeForCausalLM.")
      .add("chatglm_version", &C::chatglm_version, "Always glm4_moe.")
      .add("dtype", &C::dtype, "Of the checkpoint's matrices: float32, bfloat16 or float16.")
      .add("vocab_size", &C::vocab_size, "V")
      .add("hidden_size", &C::hidden_size, "H")
      .add("intermediate_size", &C::intermediate_size, "Inner width of the dense layers' MLP.")
      .add("num_hidden_layers", &C::num_hidden_layers, "Without the MTP layers.")
      .alias("num_layers", "Another name of num_hidden_layers.")
      .add("num_attention_heads", &C::num_attention_heads, "Query heads.")
      .add("num_key_value_heads", &C::num_key_value_heads, "Key and value heads.")
      .add("head_dim", &C::head_dim, "Not hidden_size / num_attention_heads.")
      .alias("head_size", "Another name of head_dim.")
      .add("partial_rotary_factor", &C::partial_rotary_factor, "Share of head_dim that rotates.")
      .add("rope_theta", &C::rope_theta, "Base of the rotary frequencies.")
      .add("max_position_embeddings", &C::max_position_embeddings, "Tokens.")
      .add("rms_norm_eps", &C::rms_norm_eps, "Of every RMS norm.")
      .alias("norm_epsilon", "Another name of rms_norm_eps.");
}

void add_structure(Fields<Glm4MoeConfig>& fields) {
  using C = Glm4MoeConfig;
  fields.add("attention_bias", &C::attention_bias, "On q, k and v; never on o.")
      .add("use_qk_norm", &C::use_qk_norm, "RMS norm of each query and key head.")
      .add("tie_word_embeddings", &C::tie_word_embeddings, "One matrix for embedding and head.")
      .add("num_nextn_predict_layers", &C::num_nextn_predict_layers, "MTP layers.")
      .add("first_k_dense_replace", &C::first_k_dense_replace, "Dense layers at the beginning.")
      .add("interleave_moe_layer_step", &C::interleave_moe_layer_step,
           "Of the layers after them, every so many has experts.")
      .add("moe", &C::moe, "The experts.")
      .alias("moe_config", "Another name of moe.")
      .add("quantization", &C::quantization, "Of the checkpoint.")
      .alias("quant_config", "Another name of quantization.")
      .add("eos_token_ids", &C::eos_token_ids, "Tokens that end an answer.")
      .add("pad_token_id", &C::pad_token_id, "-1: none.")
      .add_custom(moe_alias("num_experts", &MoeConfig::num_experts))
      .add_custom(moe_alias("n_routed_experts", &MoeConfig::num_experts))
      .add_custom(moe_alias("num_experts_per_tok", &MoeConfig::top_k))
      .add_custom(moe_alias("n_shared_experts", &MoeConfig::num_shared_experts))
      .add_custom(moe_alias("moe_intermediate_size", &MoeConfig::moe_intermediate_size))
      .add_custom(moe_alias("n_group", &MoeConfig::n_group))
      .add_custom(moe_alias("topk_group", &MoeConfig::topk_group))
      .add_custom(moe_alias("norm_topk_prob", &MoeConfig::norm_topk_prob))
      .add_custom(moe_alias("routed_scaling_factor", &MoeConfig::routed_scaling_factor));
}

}  // namespace

void bind_config(nb::module_& m) {
  const nb::object mode = bind_mode(m);
  bind_moe(m);
  bind_mapping(m);
  using C = Glm4MoeConfig;
  Fields<C> fields(m, "Glm4MoeConfig",
                   "What config.json says, with Hugging Face's names. A constructor checks only "
                   "types; validate() checks the values.");
  add_sizes(fields);
  add_structure(fields);
  nb::class_<C>& config = fields.finish();
  config
      .def_static("from_file", &C::from_file, nb::arg("path"),
                  "Reads a config.json: Hugging Face's, the generic form or a converted folder's.")
      .def_static("preset", &C::preset, nb::arg("name"), "A published model's shapes.")
      .def_static("preset_names", &C::preset_names)
      .def("is_moe_layer", &C::is_moe_layer, nb::arg("layer"))
      .def_prop_ro("num_moe_layers", &C::num_moe_layers)
      .def_prop_ro("rotary_dim", &C::rotary_dim)
      .def("validate", &C::validate,
           "Every range and divisibility rule. Raises Error (invalid_argument) naming the field.")
      .def("validate_mapping", &C::validate_mapping, nb::arg("mapping"),
           "Rules that tie the model to a mapping: heads, experts, layers.");
  m.attr("ChatGLMConfig") = config;
}

}  // namespace glmoe::python
