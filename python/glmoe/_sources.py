"""Where an LLM's weights and forward pass come from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import _glmoe
from ._errors import Error
from ._glmoe import QuantAlgo, QuantConfig, QuantMode

if TYPE_CHECKING:
    from ._glmoe import LlmOptions


def folder_of(model: Any) -> str:
    """The model's folder as a str, from a str or a path object. Raises Error (not_found) for a name
    of Hugging Face's hub, since nothing is ever downloaded."""
    folder = str(model.__fspath__()) if hasattr(model, "__fspath__") else model
    if isinstance(folder, str) and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", folder):
        if not os.path.exists(os.path.dirname(folder)):
            raise Error(
                f"{folder}: there is no such folder, and nothing is downloaded: if this is a name "
                f"of Hugging Face's hub, run `hf download {folder} --local-dir FOLDER` and give "
                "FOLDER",
                "not_found",
            )
    return folder


def quantization_of(value: Any) -> Any:
    """LLM's argument quantization as a QuantConfig, from the algorithm, its name or its flags."""
    if isinstance(value, str):
        return QuantConfig(quant_algo=value.upper())
    if isinstance(value, QuantAlgo):
        return QuantConfig(quant_algo=value)
    if isinstance(value, QuantMode):
        return QuantConfig(quant_mode=value)
    return value


def dtype_of(value: Any) -> Any:
    """LLM's argument dtype as a name, from a name or PyTorch's type."""
    text = str(value)
    return text.removeprefix("torch.") if text.startswith("torch.") else value


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
