"""The class LLM: a loaded model as users of TensorRT-LLM and vLLM know it."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, cast

from . import _glmoe
from ._arguments import is_single, milliseconds, sampling_list, sampling_of, unknown_keyword
from ._chat_methods import ChatMethods
from ._glmoe import (
    EngineStats,
    ExpertCounts,
    Glm4MoeConfig,
    KvCacheConfig,
    LlmOptions,
    QuantAlgo,
    QuantConfig,
    QuantMode,
    RequestOutput,
    SamplingParams,
    StartupPhase,
)
from ._overload import overload
from ._progress import gather
from ._sources import (
    dtype_of,
    folder_of,
    is_torch,
    lend,
    quantization_of,
    set_torch_forward,
)
from .results import RequestResult, StreamPiece, pieces

if TYPE_CHECKING:
    import os

    import torch
    from typing_extensions import Unpack

    from ._arguments import Prompt, Prompts, SamplingFields

_open: weakref.WeakSet[LLM] = weakref.WeakSet()


@atexit.register
def _shutdown_all() -> None:
    """Engines end before the interpreter does: their threads may still call into it."""
    for llm in list(_open):
        llm.shutdown()


class LLM(ChatMethods):
    """A loaded model. Any thread may call any method at any time.

    ``model`` is a Hugging Face folder, a converted folder or an engine. The other arguments have the
    meaning and the defaults of the C++ options; docs/python.md lists them. ``quantization`` is a
    QuantConfig, or an algorithm or its name ("FP8", "NVFP4", ...); ``kv_cache_config`` a
    KvCacheConfig.

    Raises Error with everything that is wrong: code ``not_found`` for a missing folder,
    ``invalid_argument`` for a bad value, ``unsupported`` for what this version or this machine does
    not do, ``out_of_memory`` where it does not fit. Raises TypeError for an unknown argument.

    ``with LLM(...) as llm`` frees the model at the block's end; so does shutdown().
    A process made by fork() cannot use its parent's LLM: make it after the fork.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "",
        tokenizer: str | os.PathLike[str] | None = None,
        *,
        backend: str = "auto",
        moe_backend: str = "AUTO",
        tensor_parallel_size: int = 1,
        pipeline_parallel_size: int = 1,
        expert_parallel_size: int = 1,
        dtype: str | torch.dtype = "auto",
        quantization: QuantConfig | QuantMode | QuantAlgo | str | None = None,
        kv_cache_config: KvCacheConfig | None = None,
        max_batch_size: int = 64,
        max_num_tokens: int = 2048,
        max_seq_len: int = 0,
        num_threads: int = 0,
        load_format: str = "auto",
        config: Glm4MoeConfig | None = None,
        verify_checksums: bool = True,
        cuda_graphs: bool = True,
        plan_ahead: bool | None = None,
        max_queued_requests: int = 1024,
        seed: int = 0,
        state_dict: Mapping[str, Any] | None = None,
        _forward: Any = None,
        **unknown: NoReturn,
    ) -> None:
        if unknown:
            known = ["model", "tokenizer", *(LLM.__init__.__kwdefaults__ or ())]
            raise TypeError(unknown_keyword("LLM", next(iter(unknown)), known))
        options = LlmOptions(
            model=folder_of(model),
            tokenizer=folder_of(tokenizer or ""),
            backend="cpu" if is_torch(backend) else backend,
            moe_backend=moe_backend,
            tensor_parallel_size=tensor_parallel_size,
            pipeline_parallel_size=pipeline_parallel_size,
            expert_parallel_size=expert_parallel_size,
            dtype=dtype_of(dtype),
            quantization=quantization_of(quantization),
            kv_cache_config=kv_cache_config or KvCacheConfig(),
            max_batch_size=max_batch_size,
            max_num_tokens=max_num_tokens,
            max_seq_len=max_seq_len,
            num_threads=num_threads,
            load_format=load_format,
            config=config,
            verify_checksums=verify_checksums,
            cuda_graphs=cuda_graphs,
            plan_ahead=plan_ahead,
            max_queued_requests=max_queued_requests,
            seed=seed,
        )
        if state_dict is not None:
            lend(options, state_dict)
        if is_torch(backend):
            if state_dict is not None:
                raise TypeError("LLM(): state_dict does not go with backend='torch'")
            set_torch_forward(options, backend, _forward)
        self._engine = _glmoe.Engine(options)
        _open.add(self)

    @classmethod
    def from_state_dict(
        cls,
        config: Any,
        state_dict: Mapping[str, Any],
        tokenizer: str | None = None,
        **options: Any,
    ) -> LLM:
        """A model whose weights are tensors of this process, ``model.state_dict()`` for example,
        under Hugging Face's names.

        ``config`` is a Glm4MoeConfig or the folder of config.json (which then also gives tokenizer
        and template). Tensors of the CPU that lie as the engine wants them are read in place for as
        long as the LLM lives: do not change them meanwhile. The rest is copied; describe() says
        how much was not.
        """
        if isinstance(config, Glm4MoeConfig):
            return cls("", tokenizer, config=config, state_dict=state_dict, **options)
        return cls(config, tokenizer, state_dict=state_dict, **options)

    # ------------------------------------------------------------------ generating

    @overload
    def generate(
        self,
        inputs: Prompt,
        sampling_params: SamplingParams | None = None,
        *,
        use_tqdm: bool = True,
        priority: int = 0,
        timeout: float | None = None,
        cache_salt: str = "",
        **sampling: Unpack[SamplingFields],
    ) -> RequestOutput: ...

    @overload
    def generate(
        self,
        inputs: Prompts,
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
        priority: int = 0,
        timeout: float | None = None,
        cache_salt: str = "",
        **sampling: Unpack[SamplingFields],
    ) -> list[RequestOutput]: ...

    def generate(
        self,
        inputs: Prompt | Prompts | None = None,  # so that keywords are looked at first
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
        priority: int = 0,
        timeout: float | None = None,
        cache_salt: str = "",
        **sampling: Unpack[SamplingFields],
    ) -> RequestOutput | list[RequestOutput]:
        """Answers one prompt (gives one output) or a list of them (gives a list, in their order).

        A prompt is a str, a list of token ids, ``{"prompt": str}`` or ``{"prompt_token_ids": ids}``.
        ``sampling_params`` serves all prompts or is a list, one each; its fields may also be given
        directly and win: ``generate(prompt, max_tokens=64, temperature=0)``.

        ``use_tqdm`` shows a bar for a list. Lower ``priority`` runs first. After ``timeout``
        seconds an answer ends with finish_reason 'timeout'. Prefixes are shared only between
        requests of the same ``cache_salt``.

        Waits without the GIL. Ctrl-C cancels what runs and raises KeyboardInterrupt. Raises Error
        (invalid_argument) for a bad prompt or parameter before anything runs.
        """
        params = sampling_list(sampling_params, dict(sampling))
        single = is_single(inputs)
        prompts: list[Any] = [inputs] if single else list(cast("Prompts", inputs))
        streams = self._engine.submit(prompts, params, priority, milliseconds(timeout), cache_salt)
        outputs = gather(streams, use_tqdm and not single)
        return outputs[0] if single else outputs

    def generate_streaming(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None = None,
        *,
        priority: int = 0,
        timeout: float | None = None,
        cache_salt: str = "",
        **sampling: Unpack[SamplingFields],
    ) -> Iterator[StreamPiece]:
        """Gives the text in pieces, as it comes. A piece is a str that also knows its tokens.

        The request is queued by the call itself. Leaving the loop early cancels it.
        """
        params = [sampling_of(sampling_params, dict(sampling))]
        (stream,) = self._engine.submit(
            [prompt], params, priority, milliseconds(timeout), cache_salt
        )
        return pieces(stream)

    def generate_async(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None = None,
        *,
        streaming: bool = True,
        priority: int = 0,
        timeout: float | None = None,
        cache_salt: str = "",
        **sampling: Unpack[SamplingFields],
    ) -> RequestResult:
        """Queues a prompt and returns at once: await the result for its RequestOutput, or iterate
        over its pieces with ``async for``. ``streaming`` changes nothing: both always work.

        Raises Error (unavailable) where more than max_queued_requests wait. Cancelling the task
        that awaits it cancels the request.
        """
        del streaming
        params = [sampling_of(sampling_params, dict(sampling))]
        (stream,) = self._engine.submit(
            [prompt], params, priority, milliseconds(timeout), cache_salt
        )
        return RequestResult(stream)

    # ------------------------------------------------------------------ text and tokens

    def tokenize(self, text: str) -> list[int]:
        """The token ids of a text; special tokens spelt in it are recognised."""
        return self._engine.tokenize(text)

    def detokenize(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """The text of token ids."""
        return self._engine.detokenize(token_ids, skip_special_tokens)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token, perhaps part of a character; empty for an id without a token."""
        return self._engine.token_bytes(token_id)

    # ------------------------------------------------------------------ tensors

    def logits(self, token_ids: list[list[int]]) -> list[Any]:
        """The logits of every position of each text: [T, V] float32, on the engine's device.

        Each is an object with ``__dlpack__``: ``torch.from_dlpack`` and ``numpy.from_dlpack`` make a
        tensor of it without a copy, which may outlive the LLM. Waits until nothing runs.
        """
        return self._engine_rows(_glmoe.prompt_logits, token_ids)

    def hidden_states(self, token_ids: list[list[int]]) -> list[Any]:
        """The last layer's output after the final norm, of every position of each text: [T, H],
        float32 on the CPU, of the computing type on a GPU; as logits() gives them."""
        return self._engine_rows(_glmoe.hidden_states, token_ids)

    def _engine_rows(self, read: Any, token_ids: Any) -> list[Any]:
        rows = [row.tolist() if hasattr(row, "tolist") else list(row) for row in token_ids]
        return list(read(self._engine, rows))

    # ------------------------------------------------------------------ what it is and does

    @property
    def config(self) -> Glm4MoeConfig:
        """The model's configuration (a copy)."""
        return self._engine.config()

    @property
    def max_seq_len(self) -> int:
        """Tokens of prompt and answer together, as resolved."""
        return self._engine.max_seq_len()

    @property
    def weight_dtype(self) -> str:
        """Of the matrices in memory."""
        return self._engine.weight_dtype()

    @property
    def compute_dtype(self) -> str:
        """What the forward pass rounds to."""
        return self._engine.compute_dtype()

    @property
    def device(self) -> str:
        """For example "CPU, 8 threads" or "GPU 0, NVIDIA H100 80GB HBM3"."""
        return self._engine.device()

    @property
    def on_gpu(self) -> bool:
        return self._engine.on_gpu()

    @property
    def startup(self) -> list[StartupPhase]:
        """The phases of loading, with their milliseconds."""
        return self._engine.startup()

    def describe(self) -> str:
        """The resolved configuration, one "name: value" a line: what runs, and why."""
        return self._engine.describe()

    def stats(self) -> EngineStats:
        """Counters of the engine since it was loaded."""
        return self._engine.stats()

    def expert_counts(self) -> ExpertCounts:
        """How many tokens went to each expert since loading. Waits for the step that runs."""
        return self._engine.expert_counts()

    # ------------------------------------------------------------------ the end

    def shutdown(self) -> None:
        """Cancels what still runs and frees the model. Once is enough."""
        self._engine.shutdown()
        _open.discard(self)

    def __enter__(self) -> LLM:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        if self._engine.is_shut_down():
            return "LLM(shut down)"
        return f"LLM(device={self.device!r}, dtype={self.compute_dtype!r})"
