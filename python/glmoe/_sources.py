"""Where an LLM's weights or forward pass come from, beside the model's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import _glmoe

if TYPE_CHECKING:
    from ._glmoe import LlmOptions


def is_torch(backend: str) -> bool:
    """Whether `backend` is "torch" or "torch:DEVICE"."""
    return backend == "torch" or backend.startswith("torch:")


def set_torch_forward(options: LlmOptions, backend: str, forward: Any) -> None:
    """A Hugging Face model by PyTorch in the place of the engine's own."""
    from .torch._model import load

    if forward is None:
        forward = load(options.model, backend, options.dtype)
    _glmoe.set_forward(options, forward, forward.name)


def lend(options: LlmOptions, state_dict: Mapping[str, Any]) -> None:
    """The caller's tensors as the weights; those of a GPU are copied to the CPU first."""
    tensors = {}
    for name, tensor in state_dict.items():
        if hasattr(tensor, "detach"):  # PyTorch's: a parameter does not export itself
            tensor = tensor.detach()
            if tensor.device.type != "cpu":
                tensor = tensor.cpu()
        tensors[name] = tensor
    _glmoe.lend_state_dict(options, tensors)
