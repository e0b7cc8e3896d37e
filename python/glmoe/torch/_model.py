"""backend="torch": a transformers model as the forward pass of the engine.

Scheduling, sampling, streaming, stop strings, chat and finish reasons are the engine's; the model
keeps its keys and values itself, one cache a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .._errors import Error
from ._experts import register_experts, use_glmoe_experts

_DTYPES = {
    "auto": "auto",
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class TorchForward:
    """Runs the engine's steps by a transformers model. Called on one thread of the engine."""

    def __init__(self, model: Any) -> None:
        from transformers import DynamicCache

        self._model = model.eval()
        self._new_cache = lambda: DynamicCache(config=model.config)
        self._device = next(model.parameters()).device
        self._caches: dict[int, Any] = {}

    @property
    def name(self) -> str:
        """What runs, for describe()."""
        experts = self._model.config._experts_implementation
        kind = type(self._model).__name__
        return f"PyTorch {torch.__version__} on {self._device}, {kind} with {experts} experts"

    @torch.inference_mode()
    def __call__(
        self,
        sequences: Sequence[tuple[int, list[int], int, int]],
        released: Sequence[int],
        logits: Any,
    ) -> None:
        for sequence_id in released:
            self._caches.pop(sequence_id, None)
        rows = None
        if len(logits) > 0:
            vocab_size = self._model.config.vocab_size
            rows = torch.frombuffer(logits, dtype=torch.float32).view(-1, vocab_size)
        done = 0
        for sequence_id, token_ids, start, wanted in sequences:
            if start == 0:
                self._caches[sequence_id] = self._new_cache()
            output = self._run(self._caches[sequence_id], token_ids, start, wanted)
            if wanted > 0 and rows is not None:
                rows[done : done + wanted].copy_(output[-wanted:])
                done += wanted

    def _run(self, cache: Any, token_ids: list[int], start: int, wanted: int) -> torch.Tensor:
        ids = torch.tensor([token_ids], dtype=torch.int64, device=self._device)
        positions = torch.arange(start, start + len(token_ids), device=self._device).unsqueeze(0)
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=max(wanted, 1),
        )
        scores: torch.Tensor = output.logits[0]
        return scores


def load(folder: str, backend: str, dtype: str) -> TorchForward:
    """Of `backend` "torch" (a GPU where there is one) or "torch:DEVICE" ("torch:cpu")."""
    register_experts()
    from transformers import AutoModelForCausalLM

    if not folder:
        raise Error("backend torch: model: a Hugging Face folder was wanted", "invalid_argument")
    device = backend.partition(":")[2] or ("cuda" if torch.cuda.is_available() else "cpu")
    if dtype not in _DTYPES:
        raise Error(
            f"dtype '{dtype}' is unknown: use auto, float32, bfloat16 or float16",
            "invalid_argument",
        )
    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise Error(f"backend '{backend}': {error}", "invalid_argument") from error
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=_DTYPES[dtype], local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise Error(f"backend torch: {folder}: {error}", "not_found") from error
    return TorchForward(use_glmoe_experts(model.to(target)))


def llm_of(model: Any, tokenizer: str, **options: Any) -> Any:
    """An LLM around a transformers model that is loaded already; its experts stay as they are set.

    ``tokenizer``: the folder with config.json, tokenizer.json and template.
    """
    from ..llm import LLM

    return LLM(model=tokenizer, backend="torch", _forward=TorchForward(model), **options)
