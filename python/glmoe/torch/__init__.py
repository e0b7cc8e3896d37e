"""GLMoE's place in PyTorch.

    from glmoe.torch import fused_moe, use_glmoe_experts

    model = Glm4MoeForCausalLM.from_pretrained(folder, dtype="auto")
    use_glmoe_experts(model)  # its MoE layers now run on GLMoE's kernels

Needs PyTorch; use_glmoe_experts() and `LLM(..., backend="torch")` need transformers 5 as well.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"glmoe.torch needs PyTorch, which cannot be imported ({error}): pip install glmoe[torch]",
        name="torch",
    ) from error

from ._experts import experts_forward, register_experts, use_glmoe_experts
from ._moe import Experts, Router, fused_moe, moe_experts
from ._model import TorchForward, llm_of
from ._processors import from_transformers

__all__ = [
    "Experts",
    "Router",
    "TorchForward",
    "experts_forward",
    "from_transformers",
    "fused_moe",
    "llm_of",
    "moe_experts",
    "register_experts",
    "use_glmoe_experts",
]
