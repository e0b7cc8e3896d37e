# Made by tools/python_api.py from python/binding.
"""
The C++ engine's public API. Use the package glmoe, which is built on it.
"""

from collections.abc import Callable, Sequence
import enum
from typing import TypeAlias


class QuantAlgo(enum.Enum):
    """
    The algorithm as configuration files spell it; arguments take the name as well.
    """

    NO_QUANT = 0

    FP8 = 1

    FP8_PER_CHANNEL_PER_TOKEN = 2

    FP8_BLOCK_SCALES = 3

    INT8 = 4

    W8A16 = 5

    W4A16 = 6

    W4A16_AWQ = 7

    W4A16_GPTQ = 8

    NVFP4 = 9

class QuantMode:
    """
    Properties of a quantisation as a set of flags: QuantMode.FP8, QuantMode.use_weight_only(), INT8_WEIGHTS | PER_CHANNEL, ...
    """

    def __init__(self, flags: int = 0) -> None: ...

    @staticmethod
    def use_weight_only(use_int4_weights: bool = False, per_group: bool = False) -> QuantMode:
        """INT8 weights, or INT4 ones."""

    @staticmethod
    def use_smooth_quant(per_token: bool = False, per_channel: bool = False) -> QuantMode:
        """INT8 weights and activations."""

    @staticmethod
    def from_quant_algo(quant_algo: QuantAlgo, kv_cache_quant_algo: QuantAlgo = QuantAlgo.NO_QUANT) -> QuantMode: ...

    @staticmethod
    def from_description(quantize_weights: bool = False, quantize_activations: bool = False, per_token: bool = False, per_channel: bool = False, per_group: bool = False, use_int4_weights: bool = False, use_int8_kv_cache: bool = False, use_fp8_kv_cache: bool = False) -> QuantMode:
        """Raises Error (invalid_argument) where these contradict each other."""

    @property
    def value(self) -> int:
        """The flags as one number."""

    def is_weight_only(self) -> bool: ...

    def is_int8_weight_only(self) -> bool: ...

    def is_int4_weight_only(self) -> bool: ...

    def has_act_and_weight_quant(self) -> bool: ...

    def has_per_group_scaling(self) -> bool: ...

    def has_fp8_qdq(self) -> bool: ...

    def has_fp8_rowwise(self) -> bool: ...

    def has_fp8_block_scales(self) -> bool: ...

    def has_nvfp4(self) -> bool: ...

    def has_int8_kv_cache(self) -> bool: ...

    def has_fp8_kv_cache(self) -> bool: ...

    def has_any_quant(self) -> bool: ...

    def __or__(self, arg: QuantMode, /) -> QuantMode: ...

    def __and__(self, arg: QuantMode, /) -> QuantMode: ...

    def __bool__(self) -> bool: ...

    def __int__(self) -> int: ...

    def __eq__(self, other: object, /) -> bool: ...

    def __hash__(self) -> int: ...

    def __repr__(self) -> str: ...

    def __getstate__(self) -> int: ...

    def __setstate__(self, arg: int, /) -> None: ...

    NONE: QuantMode = ...

    INT4_WEIGHTS: QuantMode = ...

    INT8_WEIGHTS: QuantMode = ...

    ACTIVATIONS: QuantMode = ...

    PER_CHANNEL: QuantMode = ...

    PER_TOKEN: QuantMode = ...

    PER_GROUP: QuantMode = ...

    INT8_KV_CACHE: QuantMode = ...

    FP8_KV_CACHE: QuantMode = ...

    FP8_QDQ: QuantMode = ...

    FP8_ROWWISE: QuantMode = ...

    NVFP4_KV_CACHE: QuantMode = ...

    FP8: QuantMode = ...

    FP8_PER_CHANNEL_PER_TOKEN: QuantMode = ...

    FP8_BLOCK_SCALES: QuantMode = ...

    FP8_1x128_128x128: QuantMode = ...

    NVFP4: QuantMode = ...

class QuantConfig:
    """How weights, activations and KV cache are quantised."""

    def __init__(self, *, quant_algo: QuantAlgo | str | None = ..., kv_cache_quant_algo: QuantAlgo | str | None = ..., group_size: int = 128, has_zero_point: bool = False, pre_quant_scale: bool = False, exclude_modules: list[str] | None = [], quant_mode: QuantMode = ...) -> None: ...

    @property
    def quant_algo(self, /) -> QuantAlgo:
        """Of weights and activations; None and NO_QUANT: not quantised."""

    @quant_algo.setter
    def quant_algo(self, value: QuantAlgo | str | None, /) -> None: ...

    @property
    def kv_cache_quant_algo(self, /) -> QuantAlgo:
        """Of the KV cache: FP8, INT8, NVFP4 or None."""

    @kv_cache_quant_algo.setter
    def kv_cache_quant_algo(self, value: QuantAlgo | str | None, /) -> None: ...

    @property
    def group_size(self, /) -> int:
        """Weights that share a scale, along the input dimension."""

    @group_size.setter
    def group_size(self, value: int, /) -> None: ...

    @property
    def has_zero_point(self, /) -> bool:
        """Of W4A16 formats."""

    @has_zero_point.setter
    def has_zero_point(self, value: bool, /) -> None: ...

    @property
    def pre_quant_scale(self, /) -> bool:
        """Activations are scaled before they are quantised (AWQ)."""

    @pre_quant_scale.setter
    def pre_quant_scale(self, value: bool, /) -> None: ...

    @property
    def exclude_modules(self, /) -> list[str]:
        """Names of what stays unquantised; '*' matches any run of characters."""

    @exclude_modules.setter
    def exclude_modules(self, value: list[str] | None, /) -> None: ...

    @property
    def quant_mode(self, /) -> QuantMode:
        """The same as flags. Setting it sets quant_algo and kv_cache_quant_algo."""

    @quant_mode.setter
    def quant_mode(self, value: QuantMode, /) -> None: ...

    def __repr__(self) -> str: ...

    def __eq__(self, other: object, /) -> bool: ...

    __hash__: None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, object]: ...

    def __setstate__(self, state: dict[str, object], /) -> None: ...

    def replaced(self, **kwargs: object) -> QuantConfig:
        """A copy with these fields changed."""

    def validate(self) -> None:
        """Raises Error (invalid_argument) naming the field."""

class ExpertScaleNormalizationMode(enum.IntEnum):
    """How router logits become the weights of the chosen experts."""

    NONE = 0
    """softmax over all experts; the top k keep their probability"""

    RENORMALIZE = 1
    """the same, divided by their sum"""

    SPARSE_MIXER = 2
    """SparseMixer, top_k 2, with sparse_mixer_epsilon"""

    DEVICE_LIMITED = 3
    """softmax, group-limited choice, scaled"""

    DEVICE_LIMITED_RENORM = 4
    """the same, divided by the sum of the chosen"""

    SIGMOID_BIAS_RENORM = 5
    """GLM-4 MoE: sigmoid; a bias only to choose"""

class MoeConfig:
    """The experts of one layer and how they are chosen."""

    def __init__(self, *, num_experts: int = 8, top_k: int = 2, normalization_mode: ExpertScaleNormalizationMode = ..., sparse_mixer_epsilon: float = 0.01, n_group: int = 1, topk_group: int = 1, routed_scaling_factor: float = 1.0, norm_topk_prob: bool = True, moe_intermediate_size: int = 0, num_shared_experts: int = 0) -> None: ...

    @property
    def num_experts(self, /) -> int:
        """Routed experts of a layer."""

    @num_experts.setter
    def num_experts(self, value: int, /) -> None: ...

    @property
    def top_k(self, /) -> int:
        """Experts that a token goes to."""

    @top_k.setter
    def top_k(self, value: int, /) -> None: ...

    @property
    def normalization_mode(self, /) -> ExpertScaleNormalizationMode:
        """How their weights are computed."""

    @normalization_mode.setter
    def normalization_mode(self, value: ExpertScaleNormalizationMode, /) -> None: ...

    @property
    def sparse_mixer_epsilon(self, /) -> float:
        """SPARSE_MIXER only."""

    @sparse_mixer_epsilon.setter
    def sparse_mixer_epsilon(self, value: float, /) -> None: ...

    @property
    def n_group(self, /) -> int:
        """Groups of experts; num_experts is divisible by it."""

    @n_group.setter
    def n_group(self, value: int, /) -> None: ...

    @property
    def topk_group(self, /) -> int:
        """Groups that may be chosen from."""

    @topk_group.setter
    def topk_group(self, value: int, /) -> None: ...

    @property
    def routed_scaling_factor(self, /) -> float:
        """DEVICE_LIMITED and SIGMOID_BIAS_RENORM only."""

    @routed_scaling_factor.setter
    def routed_scaling_factor(self, value: float, /) -> None: ...

    @property
    def norm_topk_prob(self, /) -> bool:
        """SIGMOID_BIAS_RENORM only: divide by the sum of the chosen."""

    @norm_topk_prob.setter
    def norm_topk_prob(self, value: bool, /) -> None: ...

    @property
    def moe_intermediate_size(self, /) -> int:
        """Inner width of one expert."""

    @moe_intermediate_size.setter
    def moe_intermediate_size(self, value: int, /) -> None: ...

    @property
    def num_shared_experts(self, /) -> int:
        """
        Always-on experts, fused into one MLP of width moe_intermediate_size * this.
        """

    @num_shared_experts.setter
    def num_shared_experts(self, value: int, /) -> None: ...

    def __repr__(self) -> str: ...

    def __eq__(self, other: object, /) -> bool: ...

    __hash__: None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, object]: ...

    def __setstate__(self, state: dict[str, object], /) -> None: ...

    def replaced(self, **kwargs: object) -> MoeConfig:
        """A copy with these fields changed."""

    def has_moe(self) -> bool: ...

    @property
    def shared_expert_intermediate_size(self) -> int: ...

    def validate(self) -> None:
        """Raises Error (invalid_argument) naming the field."""

    class ExpertScaleNormalizationMode(enum.IntEnum):
        """How router logits become the weights of the chosen experts."""

        NONE = 0
        """softmax over all experts; the top k keep their probability"""

        RENORMALIZE = 1
        """the same, divided by their sum"""

        SPARSE_MIXER = 2
        """SparseMixer, top_k 2, with sparse_mixer_epsilon"""

        DEVICE_LIMITED = 3
        """softmax, group-limited choice, scaled"""

        DEVICE_LIMITED_RENORM = 4
        """the same, divided by the sum of the chosen"""

        SIGMOID_BIAS_RENORM = 5
        """GLM-4 MoE: sigmoid; a bias only to choose"""

class Mapping:
    """
    How ranks divide the model. world_size is tp*pp*cp (the experts inside the TP group) or tp*pp*cp*ep (expert groups beside each other). Raises Error (invalid_argument) naming the fields where they do not go together.
    """

    def __init__(self, world_size: int = 0, rank: int = 0, gpus_per_node: int = 8, *, tp_size: int = 1, pp_size: int = 1, cp_size: int = 1, ep_size: int = 1, moe_ep_size: int = 1, moe_tp_size: int = 0) -> None: ...

    @property
    def world_size(self, /) -> int:
        """Ranks; 0: tp_size * pp_size * cp_size."""

    @world_size.setter
    def world_size(self, value: int, /) -> None: ...

    @property
    def rank(self, /) -> int:
        """This rank, from 0."""

    @rank.setter
    def rank(self, value: int, /) -> None: ...

    @property
    def gpus_per_node(self, /) -> int:
        """GPUs of one host."""

    @gpus_per_node.setter
    def gpus_per_node(self, value: int, /) -> None: ...

    @property
    def tp_size(self, /) -> int:
        """Tensor parallelism."""

    @tp_size.setter
    def tp_size(self, value: int, /) -> None: ...

    @property
    def pp_size(self, /) -> int:
        """Pipeline parallelism."""

    @pp_size.setter
    def pp_size(self, value: int, /) -> None: ...

    @property
    def cp_size(self, /) -> int:
        """Context parallelism."""

    @cp_size.setter
    def cp_size(self, value: int, /) -> None: ...

    @property
    def ep_size(self, /) -> int:
        """Ranks over which the experts are divided."""

    @ep_size.setter
    def ep_size(self, value: int, /) -> None: ...

    @property
    def moe_ep_size(self, /) -> int:
        """Another name of ep_size."""

    @moe_ep_size.setter
    def moe_ep_size(self, value: int, /) -> None: ...

    @property
    def moe_tp_size(self, /) -> int:
        """Ranks over which one expert is divided; 0: derived from the others."""

    @moe_tp_size.setter
    def moe_tp_size(self, value: int, /) -> None: ...

    def __repr__(self) -> str: ...

    def __eq__(self, other: object, /) -> bool: ...

    __hash__: None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, object]: ...

    def __setstate__(self, state: dict[str, object], /) -> None: ...

    def replaced(self, **kwargs: object) -> Mapping:
        """A copy with these fields changed."""

    def at_rank(self, rank: int) -> Mapping:
        """The same mapping seen from another rank."""

    @property
    def tp_rank(self) -> int: ...

    @property
    def pp_rank(self) -> int: ...

    @property
    def cp_rank(self) -> int: ...

    @property
    def moe_tp_rank(self) -> int: ...

    @property
    def moe_ep_rank(self) -> int: ...

    @property
    def node_rank(self) -> int: ...

    def pp_layers(self, num_layers: int) -> list[int]:
        """The layers of this rank's pipeline stage."""

    def __str__(self) -> str: ...

class Glm4MoeConfig:
    """
    What config.json says, with Hugging Face's names. A constructor checks only types; validate() checks the values.
    """

    def __init__(self, *, architecture: str = 'Glm4MoeForCausalLM', chatglm_version: str = 'glm4_moe', dtype: str = 'bfloat16', vocab_size: int = 151552, hidden_size: int = 4096, intermediate_size: int = 10944, num_hidden_layers: int = 46, num_layers: int = 46, num_attention_heads: int = 96, num_key_value_heads: int = 8, head_dim: int = 128, head_size: int = 128, partial_rotary_factor: float = 0.5, rope_theta: float = 10000.0, max_position_embeddings: int = 131072, rms_norm_eps: float = 1e-05, norm_epsilon: float = 1e-05, attention_bias: bool = False, use_qk_norm: bool = False, tie_word_embeddings: bool = False, num_nextn_predict_layers: int = 0, first_k_dense_replace: int = 1, interleave_moe_layer_step: int = 1, moe: MoeConfig = ..., moe_config: MoeConfig = ..., quantization: QuantConfig = ..., quant_config: QuantConfig = ..., eos_token_ids: list[int] | None = [], pad_token_id: int = -1, num_experts: int = 8, n_routed_experts: int = 8, num_experts_per_tok: int = 2, n_shared_experts: int = 0, moe_intermediate_size: int = 0, n_group: int = 1, topk_group: int = 1, norm_topk_prob: bool = True, routed_scaling_factor: float = 1.0) -> None: ...

    @property
    def architecture(self, /) -> str:
        """Always Glm4MoeForCausalLM."""

    @architecture.setter
    def architecture(self, value: str, /) -> None: ...

    @property
    def chatglm_version(self, /) -> str:
        """Always glm4_moe."""

    @chatglm_version.setter
    def chatglm_version(self, value: str, /) -> None: ...

    @property
    def dtype(self, /) -> str:
        """Of the checkpoint's matrices: float32, bfloat16 or float16."""

    @dtype.setter
    def dtype(self, value: str, /) -> None: ...

    @property
    def vocab_size(self, /) -> int:
        """V"""

    @vocab_size.setter
    def vocab_size(self, value: int, /) -> None: ...

    @property
    def hidden_size(self, /) -> int:
        """H"""

    @hidden_size.setter
    def hidden_size(self, value: int, /) -> None: ...

    @property
    def intermediate_size(self, /) -> int:
        """Inner width of the dense layers' MLP."""

    @intermediate_size.setter
    def intermediate_size(self, value: int, /) -> None: ...

    @property
    def num_hidden_layers(self, /) -> int:
        """Without the MTP layers."""

    @num_hidden_layers.setter
    def num_hidden_layers(self, value: int, /) -> None: ...

    @property
    def num_layers(self, /) -> int:
        """Another name of num_hidden_layers."""

    @num_layers.setter
    def num_layers(self, value: int, /) -> None: ...

    @property
    def num_attention_heads(self, /) -> int:
        """Query heads."""

    @num_attention_heads.setter
    def num_attention_heads(self, value: int, /) -> None: ...

    @property
    def num_key_value_heads(self, /) -> int:
        """Key and value heads."""

    @num_key_value_heads.setter
    def num_key_value_heads(self, value: int, /) -> None: ...

    @property
    def head_dim(self, /) -> int:
        """Not hidden_size / num_attention_heads."""

    @head_dim.setter
    def head_dim(self, value: int, /) -> None: ...

    @property
    def head_size(self, /) -> int:
        """Another name of head_dim."""

    @head_size.setter
    def head_size(self, value: int, /) -> None: ...

    @property
    def partial_rotary_factor(self, /) -> float:
        """Share of head_dim that rotates."""

    @partial_rotary_factor.setter
    def partial_rotary_factor(self, value: float, /) -> None: ...

    @property
    def rope_theta(self, /) -> float:
        """Base of the rotary frequencies."""

    @rope_theta.setter
    def rope_theta(self, value: float, /) -> None: ...

    @property
    def max_position_embeddings(self, /) -> int:
        """Tokens."""

    @max_position_embeddings.setter
    def max_position_embeddings(self, value: int, /) -> None: ...

    @property
    def rms_norm_eps(self, /) -> float:
        """Of every RMS norm."""

    @rms_norm_eps.setter
    def rms_norm_eps(self, value: float, /) -> None: ...

    @property
    def norm_epsilon(self, /) -> float:
        """Another name of rms_norm_eps."""

    @norm_epsilon.setter
    def norm_epsilon(self, value: float, /) -> None: ...

    @property
    def attention_bias(self, /) -> bool:
        """On q, k and v; never on o."""

    @attention_bias.setter
    def attention_bias(self, value: bool, /) -> None: ...

    @property
    def use_qk_norm(self, /) -> bool:
        """RMS norm of each query and key head."""

    @use_qk_norm.setter
    def use_qk_norm(self, value: bool, /) -> None: ...

    @property
    def tie_word_embeddings(self, /) -> bool:
        """One matrix for embedding and head."""

    @tie_word_embeddings.setter
    def tie_word_embeddings(self, value: bool, /) -> None: ...

    @property
    def num_nextn_predict_layers(self, /) -> int:
        """MTP layers."""

    @num_nextn_predict_layers.setter
    def num_nextn_predict_layers(self, value: int, /) -> None: ...

    @property
    def first_k_dense_replace(self, /) -> int:
        """Dense layers at the beginning."""

    @first_k_dense_replace.setter
    def first_k_dense_replace(self, value: int, /) -> None: ...

    @property
    def interleave_moe_layer_step(self, /) -> int:
        """Of the layers after them, every so many has experts."""

    @interleave_moe_layer_step.setter
    def interleave_moe_layer_step(self, value: int, /) -> None: ...

    @property
    def moe(self, /) -> MoeConfig:
        """The experts."""

    @moe.setter
    def moe(self, value: MoeConfig, /) -> None: ...

    @property
    def moe_config(self, /) -> MoeConfig:
        """Another name of moe."""

    @moe_config.setter
    def moe_config(self, value: MoeConfig, /) -> None: ...

    @property
    def quantization(self, /) -> QuantConfig:
        """Of the checkpoint."""

    @quantization.setter
    def quantization(self, value: QuantConfig, /) -> None: ...

    @property
    def quant_config(self, /) -> QuantConfig:
        """Another name of quantization."""

    @quant_config.setter
    def quant_config(self, value: QuantConfig, /) -> None: ...

    @property
    def eos_token_ids(self, /) -> list[int]:
        """Tokens that end an answer."""

    @eos_token_ids.setter
    def eos_token_ids(self, value: list[int] | None, /) -> None: ...

    @property
    def pad_token_id(self, /) -> int:
        """-1: none."""

    @pad_token_id.setter
    def pad_token_id(self, value: int, /) -> None: ...

    @property
    def num_experts(self, /) -> int:
        """Of moe."""

    @num_experts.setter
    def num_experts(self, value: int, /) -> None: ...

    @property
    def n_routed_experts(self, /) -> int:
        """Of moe."""

    @n_routed_experts.setter
    def n_routed_experts(self, value: int, /) -> None: ...

    @property
    def num_experts_per_tok(self, /) -> int:
        """Of moe."""

    @num_experts_per_tok.setter
    def num_experts_per_tok(self, value: int, /) -> None: ...

    @property
    def n_shared_experts(self, /) -> int:
        """Of moe."""

    @n_shared_experts.setter
    def n_shared_experts(self, value: int, /) -> None: ...

    @property
    def moe_intermediate_size(self, /) -> int:
        """Of moe."""

    @moe_intermediate_size.setter
    def moe_intermediate_size(self, value: int, /) -> None: ...

    @property
    def n_group(self, /) -> int:
        """Of moe."""

    @n_group.setter
    def n_group(self, value: int, /) -> None: ...

    @property
    def topk_group(self, /) -> int:
        """Of moe."""

    @topk_group.setter
    def topk_group(self, value: int, /) -> None: ...

    @property
    def norm_topk_prob(self, /) -> bool:
        """Of moe."""

    @norm_topk_prob.setter
    def norm_topk_prob(self, value: bool, /) -> None: ...

    @property
    def routed_scaling_factor(self, /) -> float:
        """Of moe."""

    @routed_scaling_factor.setter
    def routed_scaling_factor(self, value: float, /) -> None: ...

    def __repr__(self) -> str: ...

    def __eq__(self, other: object, /) -> bool: ...

    __hash__: None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, object]: ...

    def __setstate__(self, state: dict[str, object], /) -> None: ...

    def replaced(self, **kwargs: object) -> Glm4MoeConfig:
        """A copy with these fields changed."""

    @staticmethod
    def from_file(path: str) -> Glm4MoeConfig:
        """
        Reads a config.json: Hugging Face's, the generic form or a converted folder's.
        """

    @staticmethod
    def preset(name: str) -> Glm4MoeConfig:
        """A published model's shapes."""

    @staticmethod
    def preset_names() -> list[str]: ...

    def is_moe_layer(self, layer: int) -> bool: ...

    @property
    def num_moe_layers(self) -> int: ...

    @property
    def rotary_dim(self) -> int: ...

    def validate(self) -> None:
        """
        Every range and divisibility rule. Raises Error (invalid_argument) naming the field.
        """

    def validate_mapping(self, mapping: Mapping) -> None:
        """Rules that tie the model to a mapping: heads, experts, layers."""

ChatGLMConfig: TypeAlias = Glm4MoeConfig

class SamplingParams:
    """
    How an answer's tokens are chosen. temperature 0 is greedy. What is None takes the model's generation_config.json, else the value in brackets. Values are checked when a request is made: Error (invalid_argument) names the field.
    """

    def __init__(self, *, max_tokens: int = 256, min_tokens: int = 0, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None, min_p: float | None = None, repetition_penalty: float | None = None, presence_penalty: float = 0.0, frequency_penalty: float = 0.0, seed: int | None = None, n: int = 1, stop: str | list[str] | None = [], stop_token_ids: list[int] | None = [], include_stop_str_in_output: bool = False, ignore_eos: bool = False, skip_special_tokens: bool = True, logit_bias: dict[int, float] | None = {}, logprobs: int | None = None, prompt_logprobs: int | None = None, logits_processor: Callable[..., object] | None = None) -> None: ...

    @property
    def max_tokens(self, /) -> int:
        """Generated tokens at most."""

    @max_tokens.setter
    def max_tokens(self, value: int, /) -> None: ...

    @property
    def min_tokens(self, /) -> int:
        """Stop ids and strings are ignored before this many."""

    @min_tokens.setter
    def min_tokens(self, value: int, /) -> None: ...

    @property
    def temperature(self, /) -> float | None:
        """0 to 100 [1.0]; 0 is greedy."""

    @temperature.setter
    def temperature(self, value: float | None, /) -> None: ...

    @property
    def top_k(self, /) -> int | None:
        """Only the k most likely tokens; 0 or -1: all [0]."""

    @top_k.setter
    def top_k(self, value: int | None, /) -> None: ...

    @property
    def top_p(self, /) -> float | None:
        """Above 0, up to 1 [1.0]."""

    @top_p.setter
    def top_p(self, value: float | None, /) -> None: ...

    @property
    def min_p(self, /) -> float | None:
        """0 to 1 [0.0], relative to the most likely token."""

    @min_p.setter
    def min_p(self, value: float | None, /) -> None: ...

    @property
    def repetition_penalty(self, /) -> float | None:
        """Above 0 [1.0], over prompt and output."""

    @repetition_penalty.setter
    def repetition_penalty(self, value: float | None, /) -> None: ...

    @property
    def presence_penalty(self, /) -> float:
        """-2 to 2, over the output."""

    @presence_penalty.setter
    def presence_penalty(self, value: float, /) -> None: ...

    @property
    def frequency_penalty(self, /) -> float:
        """-2 to 2, over the output."""

    @frequency_penalty.setter
    def frequency_penalty(self, value: float, /) -> None: ...

    @property
    def seed(self, /) -> int | None:
        """None: drawn from the engine's own generator."""

    @seed.setter
    def seed(self, value: int | None, /) -> None: ...

    @property
    def n(self, /) -> int:
        """Answers, 1 to 128; answer i of a seeded request uses (seed, i)."""

    @n.setter
    def n(self, value: int, /) -> None: ...

    @property
    def stop(self, /) -> list[str]:
        """Strings that end an answer, at most 16."""

    @stop.setter
    def stop(self, value: str | list[str] | None, /) -> None: ...

    @property
    def stop_token_ids(self, /) -> list[int]:
        """Tokens that end it, beside the model's own."""

    @stop_token_ids.setter
    def stop_token_ids(self, value: list[int] | None, /) -> None: ...

    @property
    def include_stop_str_in_output(self, /) -> bool:
        """In the text."""

    @include_stop_str_in_output.setter
    def include_stop_str_in_output(self, value: bool, /) -> None: ...

    @property
    def ignore_eos(self, /) -> bool:
        """The model's own end tokens do not end an answer."""

    @ignore_eos.setter
    def ignore_eos(self, value: bool, /) -> None: ...

    @property
    def skip_special_tokens(self, /) -> bool:
        """In the text; token_ids always hold all."""

    @skip_special_tokens.setter
    def skip_special_tokens(self, value: bool, /) -> None: ...

    @property
    def logit_bias(self, /) -> dict[int, float]:
        """Token id -> added to its logit, -100 to 100."""

    @logit_bias.setter
    def logit_bias(self, value: dict[int, float] | None, /) -> None: ...

    @property
    def logprobs(self, /) -> int | None:
        """Alternatives a generated token, 0 to 20."""

    @logprobs.setter
    def logprobs(self, value: int | None, /) -> None: ...

    @property
    def prompt_logprobs(self, /) -> int | None:
        """Alternatives a prompt token, 0 to 20."""

    @prompt_logprobs.setter
    def prompt_logprobs(self, value: int | None, /) -> None: ...

    @property
    def logits_processor(self, /) -> Callable[..., object] | None:
        """
        function(token_ids, logits): changes the logits before all else. Both are memoryviews, of int32 and float32, for the time of the call.
        """

    @logits_processor.setter
    def logits_processor(self, value: Callable[..., object] | None, /) -> None: ...

    def __repr__(self) -> str: ...

    def __eq__(self, other: object, /) -> bool: ...

    __hash__: None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, object]: ...

    def __setstate__(self, state: dict[str, object], /) -> None: ...

    def replaced(self, **kwargs: object) -> SamplingParams:
        """A copy with these fields changed."""

class KvCacheConfig:
    """Size and use of the KV cache."""

    def __init__(self, *, max_tokens: int = 0, free_memory_fraction: float | None = None, free_gpu_memory_fraction: float | None = None, tokens_per_block: int = 0, enable_block_reuse: bool = True) -> None: ...

    @property
    def max_tokens(self, /) -> int:
        """Tokens that it holds; 0: as many as fit."""

    @max_tokens.setter
    def max_tokens(self, value: int, /) -> None: ...

    @property
    def free_memory_fraction(self, /) -> float | None:
        """
        Of the memory free after loading the weights, where max_tokens is 0. None: 0.5 on the CPU, 0.9 on a GPU.
        """

    @free_memory_fraction.setter
    def free_memory_fraction(self, value: float | None, /) -> None: ...

    @property
    def free_gpu_memory_fraction(self, /) -> float | None:
        """Another name of free_memory_fraction."""

    @free_gpu_memory_fraction.setter
    def free_gpu_memory_fraction(self, value: float | None, /) -> None: ...

    @property
    def tokens_per_block(self, /) -> int:
        """0: 64 on a GPU, 16 on the CPU."""

    @tokens_per_block.setter
    def tokens_per_block(self, value: int, /) -> None: ...

    @property
    def enable_block_reuse(self, /) -> bool:
        """Prefixes computed before are shared by later requests."""

    @enable_block_reuse.setter
    def enable_block_reuse(self, value: bool, /) -> None: ...

    def __repr__(self) -> str: ...

    def __eq__(self, other: object, /) -> bool: ...

    __hash__: None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, object]: ...

    def __setstate__(self, state: dict[str, object], /) -> None: ...

    def replaced(self, **kwargs: object) -> KvCacheConfig:
        """A copy with these fields changed."""

class Logprob:
    """A token's log probability at one position."""

    def __getstate__(self) -> tuple[object, ...]: ...

    def __setstate__(self, state: tuple[object, ...], /) -> None: ...

    @property
    def token_id(self) -> int: ...

    @property
    def logprob(self) -> float:
        """Natural logarithm, after penalties and before temperature."""

    @property
    def rank(self) -> int:
        """1 is the most likely."""

    def __repr__(self) -> str: ...

class CompletionOutput:
    """One answer. str() is its text."""

    def __getstate__(self) -> tuple[object, ...]: ...

    def __setstate__(self, state: tuple[object, ...], /) -> None: ...

    @property
    def index(self) -> int:
        """0 to n-1."""

    @property
    def text(self) -> str: ...

    @property
    def token_ids(self) -> list[int]:
        """With the stop token, if one ended the answer."""

    @property
    def num_tokens(self) -> int: ...

    @property
    def finish_reason(self) -> str | None:
        """'stop', 'length', 'cancelled', 'timeout' or 'error'; None: not yet."""

    @property
    def stop_reason(self) -> str | None:
        """The stop string, or the stop token's id in decimal."""

    @property
    def error(self) -> str | None:
        """With finish_reason 'error': what went wrong."""

    @property
    def cumulative_logprob(self) -> float:
        """Sum over the tokens; 0 where logprobs were not asked for."""

    @property
    def logprobs(self) -> list[dict[int, Logprob]] | None:
        """
        A dict a token: the token itself first, then the most likely alternatives.
        """

    def __str__(self) -> str: ...

    def __repr__(self) -> str: ...

class RequestMetrics:
    """Times of one request, in milliseconds."""

    def __getstate__(self) -> tuple[object, ...]: ...

    def __setstate__(self, state: tuple[object, ...], /) -> None: ...

    @property
    def queue_ms(self) -> float:
        """Submitted until first scheduled."""

    @property
    def first_token_ms(self) -> float:
        """Submitted until the first token."""

    @property
    def total_ms(self) -> float: ...

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of the prompt that were found in the prefix cache."""

class RequestOutput:
    """A prompt's answers. str() is the first one's text."""

    def __getstate__(self) -> tuple[object, ...]: ...

    def __setstate__(self, state: tuple[object, ...], /) -> None: ...

    @property
    def request_id(self) -> int: ...

    @property
    def prompt(self) -> str:
        """Empty where token ids were given."""

    @property
    def prompt_token_ids(self) -> list[int]: ...

    @property
    def outputs(self) -> list[CompletionOutput]:
        """The n answers."""

    @property
    def prompt_logprobs(self) -> list[dict[int, Logprob]] | None:
        """A dict a prompt token; the first is empty, since nothing precedes it."""

    @property
    def metrics(self) -> RequestMetrics: ...

    @property
    def finished(self) -> bool: ...

    def __str__(self) -> str: ...

    def __repr__(self) -> str: ...

class OutputDelta:
    """New text and tokens of one answer."""

    def __getstate__(self) -> tuple[object, ...]: ...

    def __setstate__(self, state: tuple[object, ...], /) -> None: ...

    @property
    def index(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def token_ids(self) -> list[int]: ...

    @property
    def logprobs(self) -> list[dict[int, Logprob]] | None: ...

    @property
    def finish_reason(self) -> str | None: ...

    @property
    def stop_reason(self) -> str | None: ...

    @property
    def error(self) -> str | None: ...

    @property
    def request_finished(self) -> bool: ...

class Waker:
    """A descriptor that an event loop watches for many streams."""

    def __init__(self) -> None: ...

    def fileno(self) -> int: ...

    def take(self) -> list[int]:
        """The keys of the streams that have something to read."""

class Stream:
    """One request under way; dropping it cancels the request."""

    @property
    def request_id(self) -> int: ...

    @property
    def prompt_token_ids(self) -> list[int]: ...

    def next(self) -> OutputDelta | None:
        """Waits for the next delta; None after the last one."""

    def try_next(self) -> OutputDelta | None:
        """The next delta if there is one now, else None."""

    def done(self) -> bool: ...

    def cancel(self) -> None: ...

    def metrics(self) -> RequestMetrics: ...

    def collect(self) -> bool:
        """Takes what has come; true once nothing more will."""

    def wait_finished(self, timeout_s: float | None) -> bool:
        """False where it has not ended in that time."""

    def result(self) -> RequestOutput:
        """The whole output, once collect() was true."""

    def notify(self, waker: Waker, key: int) -> None: ...

def gather(streams: list[Stream], progress: Callable[[int, int], object] | None) -> list[RequestOutput]:
    """
    Waits for all of them. `progress` gets the new outputs and their tokens.
    """

class ToolCallDelta:
    """A tool call's next piece."""

    @property
    def index(self) -> int:
        """0, 1, ... in the order of the calls."""

    @property
    def name(self) -> str:
        """Whole, on the first piece."""

    @property
    def arguments(self) -> str:
        """JSON text, to be joined."""

class ChatDelta:
    """New parts of a chat's answer. str() is the content."""

    @property
    def reasoning(self) -> str: ...

    @property
    def content(self) -> str: ...

    @property
    def tool_calls(self) -> list[ToolCallDelta]: ...

    def __bool__(self) -> bool: ...

    def __str__(self) -> str: ...

class ChatParser:
    """Reads one answer's deltas as they come."""

    def feed(self, delta: OutputDelta) -> ChatDelta: ...

    def feed_answer(self, answer: CompletionOutput, skip_special_tokens: bool) -> ChatDelta: ...

    @property
    def num_reasoning_tokens(self) -> int: ...

    @property
    def num_tool_calls(self) -> int: ...

class LlmOptions:
    """What LLM() takes; the defaults are those of C++."""

    def __init__(self, *, model: str = '', tokenizer: str = '', backend: str = 'auto', tensor_parallel_size: int = 1, pipeline_parallel_size: int = 1, expert_parallel_size: int = 1, moe_backend: str = 'AUTO', dtype: str = 'auto', quantization: QuantConfig | None = None, load_format: str = 'auto', config: Glm4MoeConfig | None = None, num_threads: int = 0, max_batch_size: int = 64, max_num_tokens: int = 2048, max_seq_len: int = 0, kv_cache_config: KvCacheConfig = ..., verify_checksums: bool = True, cuda_graphs: bool = True, plan_ahead: bool | None = None, max_queued_requests: int = 1024, seed: int = 0) -> None: ...

    @property
    def model(self, /) -> str:
        """Hugging Face folder, converted folder or engine."""

    @model.setter
    def model(self, value: str, /) -> None: ...

    @property
    def tokenizer(self, /) -> str:
        """Folder with tokenizer.json; empty: the model's own."""

    @tokenizer.setter
    def tokenizer(self, value: str, /) -> None: ...

    @property
    def backend(self, /) -> str:
        """auto, cpu or cuda."""

    @backend.setter
    def backend(self, value: str, /) -> None: ...

    @property
    def tensor_parallel_size(self, /) -> int:
        """Ranks."""

    @tensor_parallel_size.setter
    def tensor_parallel_size(self, value: int, /) -> None: ...

    @property
    def pipeline_parallel_size(self, /) -> int:
        """Ranks."""

    @pipeline_parallel_size.setter
    def pipeline_parallel_size(self, value: int, /) -> None: ...

    @property
    def expert_parallel_size(self, /) -> int:
        """Ranks."""

    @expert_parallel_size.setter
    def expert_parallel_size(self, value: int, /) -> None: ...

    @property
    def moe_backend(self, /) -> str:
        """AUTO, CUTLASS, TRTLLM, VANILLA or WIDEEP."""

    @moe_backend.setter
    def moe_backend(self, value: str, /) -> None: ...

    @property
    def dtype(self, /) -> str:
        """Computed in: auto, float32, bfloat16 or float16."""

    @dtype.setter
    def dtype(self, value: str, /) -> None: ...

    @property
    def quantization(self, /) -> QuantConfig | None:
        """None: as the model's folder says."""

    @quantization.setter
    def quantization(self, value: QuantConfig | None, /) -> None: ...

    @property
    def load_format(self, /) -> str:
        """auto, or dummy: random weights of config's shapes."""

    @load_format.setter
    def load_format(self, value: str, /) -> None: ...

    @property
    def config(self, /) -> Glm4MoeConfig | None:
        """With load_format dummy."""

    @config.setter
    def config(self, value: Glm4MoeConfig | None, /) -> None: ...

    @property
    def num_threads(self, /) -> int:
        """0: one a physical core."""

    @num_threads.setter
    def num_threads(self, value: int, /) -> None: ...

    @property
    def max_batch_size(self, /) -> int:
        """Sequences in one step."""

    @max_batch_size.setter
    def max_batch_size(self, value: int, /) -> None: ...

    @property
    def max_num_tokens(self, /) -> int:
        """Tokens in one step; also the prefill chunk."""

    @max_num_tokens.setter
    def max_num_tokens(self, value: int, /) -> None: ...

    @property
    def max_seq_len(self, /) -> int:
        """Tokens of prompt and answer; 0: the model's."""

    @max_seq_len.setter
    def max_seq_len(self, value: int, /) -> None: ...

    @property
    def kv_cache_config(self, /) -> KvCacheConfig:
        """Size and use of the KV cache."""

    @kv_cache_config.setter
    def kv_cache_config(self, value: KvCacheConfig, /) -> None: ...

    @property
    def verify_checksums(self, /) -> bool:
        """Of an engine's blobs, while loading."""

    @verify_checksums.setter
    def verify_checksums(self, value: bool, /) -> None: ...

    @property
    def cuda_graphs(self, /) -> bool:
        """On a GPU: decode steps as captured graphs."""

    @cuda_graphs.setter
    def cuda_graphs(self, value: bool, /) -> None: ...

    @property
    def plan_ahead(self, /) -> bool | None:
        """The next step is planned early. None: on a GPU."""

    @plan_ahead.setter
    def plan_ahead(self, value: bool | None, /) -> None: ...

    @property
    def max_queued_requests(self, /) -> int:
        """More are refused; generate() waits."""

    @max_queued_requests.setter
    def max_queued_requests(self, value: int, /) -> None: ...

    @property
    def seed(self, /) -> int:
        """Of requests that bring none; 0: from the system."""

    @seed.setter
    def seed(self, value: int, /) -> None: ...

    def __repr__(self) -> str: ...

    def __eq__(self, other: object, /) -> bool: ...

    __hash__: None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, object]: ...

    def __setstate__(self, state: dict[str, object], /) -> None: ...

    def replaced(self, **kwargs: object) -> LlmOptions:
        """A copy with these fields changed."""

class EngineStats:
    """What the engine has done and holds."""

    @property
    def num_running(self) -> int: ...

    @property
    def num_waiting(self) -> int: ...

    @property
    def kv_blocks_total(self) -> int: ...

    @property
    def kv_blocks_free(self) -> int: ...

    @property
    def kv_blocks_cached(self) -> int:
        """Free, but holding a reusable prefix."""

    @property
    def steps(self) -> int: ...

    @property
    def generated_tokens(self) -> int: ...

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def preemptions(self) -> int: ...

    @property
    def prefix_cache_queries(self) -> int:
        """Prompt tokens looked up."""

    @property
    def prefix_cache_hits(self) -> int:
        """Of those, found."""

    @property
    def prefix_cache_evictions(self) -> int:
        """Blocks."""

    @property
    def cancellations(self) -> int:
        """Sequences."""

    @property
    def timeouts(self) -> int:
        """Sequences."""

    @property
    def failure(self) -> str:
        """Not empty: why no further request can run."""

class ExpertCounts:
    """Tokens that went to each expert since loading."""

    @property
    def steps(self) -> int:
        """Run until then."""

    @property
    def tokens(self) -> list[list[int]]:
        """[layers][experts]; an empty list for a layer without experts."""

class StartupPhase:
    """One phase of loading."""

    @property
    def name(self) -> str: ...

    @property
    def ms(self) -> float: ...

    def __repr__(self) -> str: ...

class Engine:
    """A loaded model. Thread-safe."""

    def __init__(self, options: LlmOptions) -> None: ...

    def shutdown(self) -> None:
        """Cancels what still runs and frees the model."""

    def is_shut_down(self) -> bool: ...

    def submit(self, prompts: list[object], sampling_params: list[SamplingParams], priority: int, timeout_ms: float, cache_salt: str) -> list[Stream]:
        """Queues all, or raises before any runs."""

    def render_chat(self, messages_json: str, tools_json: str, add_generation_prompt: bool, enable_thinking: bool | None, template_kwargs_json: str) -> str: ...

    def encode_chat(self, messages_json: str, tools_json: str, add_generation_prompt: bool, enable_thinking: bool | None, template_kwargs_json: str) -> list[int]: ...

    def chat_parser(self, prompt_token_ids: Sequence[int], tools_json: str) -> ChatParser: ...

    def tokenize(self, text: str) -> list[int]: ...

    def detokenize(self, token_ids: Sequence[int], skip_special_tokens: bool) -> str: ...

    def token_bytes(self, token_id: int) -> bytes: ...

    def config(self) -> Glm4MoeConfig: ...

    def max_seq_len(self) -> int: ...

    def weight_dtype(self) -> str: ...

    def compute_dtype(self) -> str: ...

    def device(self) -> str: ...

    def on_gpu(self) -> bool: ...

    def startup(self) -> list[StartupPhase]: ...

    def describe(self) -> str: ...

    def stats(self) -> EngineStats: ...

    def expert_counts(self) -> ExpertCounts: ...

def prompt_logits(engine: Engine, token_ids: Sequence[Sequence[int]]) -> list[object]:
    """Logits of every position of each row."""

def hidden_states(engine: Engine, token_ids: Sequence[Sequence[int]]) -> list[object]:
    """What the head reads, of every position."""

def lend_state_dict(options: LlmOptions, state_dict: dict[str, object]) -> None:
    """The weights of the engine that is made of these options."""

def set_forward(options: LlmOptions, function: object, name: str) -> None:
    """
    function(sequences, released, logits) runs in the place of the engine's model.
    """

class MoeTeam:
    """The threads of MoE calls on the CPU."""

    def __init__(self, num_threads: int = 0) -> None: ...

class MoeCall:
    """One MoE call; glmoe.torch.fused_moe checks and fills it."""

    def __init__(self, shape: tuple[int, int, int, int], top_k: int) -> None: ...

    def set_router(self, config: MoeConfig, kind: int) -> None: ...

    def set_memory(self, x: int, out: int, gate_up: int, down: int) -> None: ...

    def set_chosen(self, ids: int, ids_64_bit: bool, weights: int, kind: int) -> None: ...

    def set_router_memory(self, weight: int, bias: int) -> None: ...

    def why_not_gpu(self) -> str: ...

    def workspace_bytes(self, num_tokens: int) -> int: ...

    def enqueue(self, num_tokens: int, device: int, workspace: int, workspace_bytes: int, stream: int) -> None: ...

    def run(self, team: MoeTeam, num_tokens: int) -> None: ...

__version__: str
