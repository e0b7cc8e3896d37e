"""The forms in which callers give arguments, brought into those that the engine takes."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Union, cast

from ._errors import Error
from ._glmoe import SamplingParams

if TYPE_CHECKING:
    from typing_extensions import TypeAlias

# Keywords of other engines, and what does the same here.
HINTS = {
    "best_of": "n",
    "block_size": "kv_cache_config=KvCacheConfig(tokens_per_block=...)",
    "build_config": "max_batch_size, max_num_tokens and max_seq_len",
    "cuda_graph_config": "cuda_graphs=True or False",
    "detokenize": "nothing: a text is made only when it is read",
    "device": "backend='cpu' or 'cuda'",
    "download_dir": "nothing: model is a folder of this machine",
    "enable_chunked_prefill": "max_num_tokens, which is the prefill chunk: it is always on",
    "enable_expert_parallel": "expert_parallel_size",
    "enable_prefix_caching": "kv_cache_config=KvCacheConfig(enable_block_reuse=...)",
    "end_id": "stop_token_ids",
    "enforce_eager": "cuda_graphs=False",
    "free_gpu_memory_fraction": "kv_cache_config=KvCacheConfig(free_memory_fraction=...)",
    "gpu_memory_utilization": "kv_cache_config=KvCacheConfig(free_memory_fraction=...)",
    "hf_overrides": "config=Glm4MoeConfig(...)",
    "kv_cache_dtype": "quantization=QuantConfig(kv_cache_quant_algo=...)",
    "logits_processors": "logits_processor, one function",
    "max_model_len": "max_seq_len",
    "max_new_tokens": "max_tokens",
    "max_num_batched_tokens": "max_num_tokens",
    "max_num_seqs": "max_batch_size",
    "moe_config": "moe_backend='CUTLASS', ...",
    "moe_expert_parallel_size": "expert_parallel_size",
    "pp_size": "pipeline_parallel_size",
    "prompt_token_ids": "the first argument, which may be token ids",
    "prompts": "the first argument",
    "quant_config": "quantization",
    "revision": "nothing: model is a folder of this machine",
    "stop_words": "stop",
    "tokenizer_mode": "nothing: there is one tokenizer",
    "torch_dtype": "dtype",
    "tp_size": "tensor_parallel_size",
    "trust_remote_code": "nothing: no code of a checkpoint is ever run",
}


class TextPrompt(TypedDict):
    """A prompt as text."""

    prompt: str


class TokensPrompt(TypedDict):
    """A prompt as token ids."""

    prompt_token_ids: list[int]


Prompt: TypeAlias = Union[str, "list[int]", TextPrompt, TokensPrompt]
Prompts: TypeAlias = Union["list[str]", "list[list[int]]", "list[TextPrompt]", "list[TokensPrompt]"]


class SamplingFields(TypedDict, total=False):
    """The fields of SamplingParams, which every generating method also takes directly."""

    max_tokens: int
    min_tokens: int
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float
    frequency_penalty: float
    seed: int | None
    n: int
    stop: str | list[str] | None
    stop_token_ids: list[int]
    include_stop_str_in_output: bool
    ignore_eos: bool
    skip_special_tokens: bool
    logit_bias: dict[int, float]
    logprobs: int | None
    prompt_logprobs: int | None
    logits_processor: Callable[..., object] | None


def unknown_keyword(owner: str, found: str, known: Iterable[str]) -> str:
    """The message of the TypeError for a keyword that `owner` does not take."""
    message = f"{owner}() got an unexpected keyword argument {found!r}"
    if found in HINTS:
        return f"{message}; here it is {HINTS[found]}"
    close = difflib.get_close_matches(found, list(known))
    return f"{message}; did you mean {' or '.join(map(repr, close))}?" if close else message


def json_of(name: str, value: object) -> str:
    """`value` as JSON text; empty for nothing. `name` is the argument's."""
    if value is None:
        return ""
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: what JSON can hold was wanted: {error}") from None


def is_single(inputs: object) -> bool:
    """Whether `inputs` is one prompt, not a list of them."""
    if isinstance(inputs, (str, dict)):
        return True
    if hasattr(inputs, "ndim"):  # an array or a tensor: one row of ids, or several
        return bool(inputs.ndim == 1)
    if isinstance(inputs, Sequence) and not isinstance(inputs, (bytes, bytearray)):
        return len(inputs) > 0 and _is_integer(inputs[0])
    raise TypeError(
        "prompts: str, list[int], a dict of one of them or a list of these was wanted, "
        f"found {type(inputs).__name__}"
    )


def _is_integer(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def sampling_of(params: SamplingParams | None, changes: dict[str, Any]) -> SamplingParams:
    """`params` with what was given directly."""
    if params is not None and not isinstance(params, SamplingParams):
        raise TypeError(
            f"sampling_params: SamplingParams was wanted, found {type(params).__name__}; single "
            "fields are keywords: max_tokens=64"
        )
    if not changes:
        return SamplingParams() if params is None else params
    return (SamplingParams() if params is None else params).replaced(**changes)


def sampling_list(
    params: SamplingParams | Sequence[SamplingParams] | None, changes: dict[str, Any]
) -> list[SamplingParams]:
    """One for all prompts, or one each."""
    if params is None or isinstance(params, SamplingParams):
        return [sampling_of(params, changes)]
    if not isinstance(params, (list, tuple)):
        params = [cast("SamplingParams", params)]  # which sampling_of refuses
    return [sampling_of(one, changes) for one in params]


def milliseconds(timeout: float | None) -> float:
    """A timeout in seconds as the engine counts it, where 0 is none. Raises Error
    (invalid_argument) where it is not above 0."""
    if timeout is None:
        return 0.0
    if not timeout > 0:
        raise Error(
            f"timeout: more than 0 seconds, or None, was wanted, found {timeout}",
            "invalid_argument",
        )
    return 1000.0 * timeout
