"""The forms in which callers give arguments, brought into those that the engine takes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Union

from ._glmoe import SamplingParams

if TYPE_CHECKING:
    from typing_extensions import TypeAlias

# Keywords of other engines, and what does the same here.
HINTS = {
    "device": "backend='cpu' or 'cuda'",
    "enable_chunked_prefill": "max_num_tokens, which is the prefill chunk: it is always on",
    "enable_prefix_caching": "kv_cache_config=KvCacheConfig(enable_block_reuse=...)",
    "enforce_eager": "cuda_graphs=False",
    "free_gpu_memory_fraction": "kv_cache_config=KvCacheConfig(free_memory_fraction=...)",
    "gpu_memory_utilization": "kv_cache_config=KvCacheConfig(free_memory_fraction=...)",
    "max_model_len": "max_seq_len",
    "max_new_tokens": "max_tokens",
    "max_num_batched_tokens": "max_num_tokens",
    "max_num_seqs": "max_batch_size",
    "moe_expert_parallel_size": "expert_parallel_size",
    "quant_config": "quantization",
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
    if not changes:
        return SamplingParams() if params is None else params
    return (SamplingParams() if params is None else params).replaced(**changes)


def sampling_list(
    params: SamplingParams | Sequence[SamplingParams] | None, changes: dict[str, Any]
) -> list[SamplingParams]:
    """One for all prompts, or one each."""
    if params is None or isinstance(params, SamplingParams):
        return [sampling_of(params, changes)]
    return [sampling_of(one, changes) for one in params]
