"""GLMoE's MoE as an experts implementation of transformers 5."""

from __future__ import annotations

from typing import Any

import torch

from .. import _glmoe
from .._errors import Error
from ._moe import _KINDS

NAME = "glmoe"


def experts_forward(
    self: torch.nn.Module,
    hidden_states: torch.Tensor,
    top_k_index: torch.Tensor,
    top_k_weights: torch.Tensor,
) -> torch.Tensor:
    """What transformers calls in the place of an experts module's own forward."""
    gate_up, down = self.gate_up_proj, self.down_proj
    return torch.ops.glmoe.moe_experts(hidden_states, top_k_index, top_k_weights, gate_up, down)


def register_experts() -> str:
    """Makes "glmoe" known as an `experts_implementation`, also of from_pretrained(). Gives the name.

    Raises ImportError where transformers is missing or older than 5.
    """
    try:
        from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
    except ImportError as error:
        raise ImportError(
            f"this needs transformers 5 or newer, which cannot be imported ({error}): "
            "pip install glmoe[torch]",
            name="transformers",
        ) from error
    ALL_EXPERTS_FUNCTIONS.register(NAME, experts_forward)
    return NAME


def use_glmoe_experts(model: Any) -> Any:
    """Lets a transformers model's MoE layers run on GLMoE's kernels, for inference. Gives the model.

    No weight is copied or changed; `model.set_experts_implementation("grouped_mm")` takes it back.
    Raises Error (unsupported) with every reason where the kernels do not take its experts.
    """
    name = register_experts()
    reasons: list[str] = []
    found = 0
    for path, module in model.named_modules():
        if not hasattr(module, "gate_up_proj") or not hasattr(module, "down_proj"):
            continue
        if getattr(module.gate_up_proj, "ndim", 0) != 3:
            continue
        found += 1
        reasons += [f"{path}: {reason}" for reason in why_not(module) if reason not in reasons]
    if found == 0:
        reasons.append("the model has no modules with gate_up_proj and down_proj of [E, ., .]")
    if reasons:
        more = f"; and {len(reasons) - 4} more" if len(reasons) > 4 else ""
        raise Error(
            f"GLMoE's experts cannot run this model: {'; '.join(reasons[:4])}{more}", "unsupported"
        )
    model.set_experts_implementation(name)
    return model


def why_not(module: Any) -> list[str]:
    """Reasons against running an experts module on the device where it is; empty: it can run."""
    reasons = []
    if getattr(module, "is_transposed", False):
        reasons.append("its weights are stored transposed")
    if getattr(module, "has_bias", False):
        reasons.append("it has biases")
    if not getattr(module, "has_gate", True) or not getattr(module, "is_concatenated", True):
        reasons.append("its weights are no gate rows followed by up rows")
    activation = getattr(module, "act_fn", None)
    if activation is not None and type(activation).__name__ not in ("SiLU", "SiLUActivation"):
        reasons.append(f"its activation is {type(activation).__name__}, and SiLU was wanted")
    experts, hidden, inner = module.down_proj.shape
    kind = _KINDS.get(module.down_proj.dtype)
    if kind is None:
        reasons.append(f"its weights are {module.down_proj.dtype}")
    elif module.down_proj.device.type == "cuda":
        on_gpu = _glmoe.MoeCall((experts, hidden, inner, kind), 1).why_not_gpu()
        if on_gpu:
            reasons.append(on_gpu)
    elif module.down_proj.device.type != "cpu":
        reasons.append(f"its weights are on {module.down_proj.device}; cpu or cuda was wanted")
    return reasons
