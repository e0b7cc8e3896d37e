"""Logits processors of transformers as the engine's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def from_transformers(*processors: Any) -> Callable[[Any, Any], None]:
    """A `SamplingParams.logits_processor` that runs transformers' LogitsProcessors one after the
    other, as `processor(input_ids [1, T], scores [1, V])`.

    The engine's own sampling (bias, penalties, temperature, top-k, ...) follows.
    """

    def run(token_ids: Any, logits: Any) -> None:
        # Tensors of this memory must not be kept: the ids, which a processor may keep, are a copy.
        input_ids = torch.tensor([token_ids.tolist()], dtype=torch.int64)
        scores = torch.frombuffer(logits, dtype=torch.float32).unsqueeze(0)
        changed = scores.clone()
        for processor in processors:
            changed = processor(input_ids, changed)
        scores.copy_(changed)

    return run
