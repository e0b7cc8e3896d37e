"""The MoE as PyTorch operators: torch.ops.glmoe.fused_moe and torch.ops.glmoe.moe_experts.

Both run on the tensors' own memory: on the CPU by the engine's SIMD kernels, on a Hopper GPU on the
current stream, without waiting for it. They are for inference: there is no gradient.
"""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import torch

from .. import _glmoe
from .._errors import Error

_KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}


class Experts(NamedTuple):
    """The experts' weights, as transformers 5 keeps them: an expert is
    ``down @ (silu(gate @ x) * (up @ x))``."""

    gate_up: torch.Tensor  # [E, 2I, H]: an expert's I rows of gate, then its I rows of up
    down: torch.Tensor  # [E, H, I]

    @classmethod
    def of(cls, module: Any) -> Experts:
        """Of a module with gate_up_proj and down_proj (Glm4MoeExperts)."""
        return cls(module.gate_up_proj, module.down_proj)


class Router(NamedTuple):
    """GLM-4 MoE's router: sigmoid scores in float32, a bias that changes the choice alone."""

    weight: torch.Tensor  # [E, H]; computed with in float32 whatever its type
    bias: torch.Tensor | None = None  # [E] float32
    top_k: int = 8
    n_group: int = 1
    topk_group: int = 1
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 1.0

    @classmethod
    def of(cls, module: Any) -> Router:
        """Of transformers' Glm4MoeTopkRouter."""
        return cls(
            module.weight,
            module.e_score_correction_bias,
            module.top_k,
            module.num_group,
            module.topk_group,
            module.norm_topk_prob,
            module.routed_scaling_factor,
        )


def fused_moe(
    x: torch.Tensor,
    router: Router | tuple[torch.Tensor, torch.Tensor],
    experts: Experts,
    *,
    shared: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """The mixture of experts of `x` [..., H]: every token's chosen experts, weighted and summed.

    ``router`` is a Router, or what another one chose: (ids [T, K] of int64 or int32, weights
    [T, K]). ``shared``: a module for every token (shared experts), whose result is added.

    x and the experts have one type (float32, bfloat16, float16; on a GPU the latter two) and one
    device; weights are read in place and must be contiguous. Raises Error naming what does not fit.
    """
    if isinstance(router, Router):
        out = torch.ops.glmoe.fused_moe(
            x,
            router.weight,
            router.bias,
            experts.gate_up,
            experts.down,
            router.top_k,
            router.n_group,
            router.topk_group,
            router.norm_topk_prob,
            router.routed_scaling_factor,
        )
    else:
        ids, weights = router
        out = torch.ops.glmoe.moe_experts(x, ids, weights, experts.gate_up, experts.down)
    return out if shared is None else out + shared(x)


@torch.library.custom_op(
    "glmoe::moe_experts",
    mutates_args=(),
    schema="(Tensor x, Tensor expert_ids, Tensor expert_weights, Tensor gate_up, Tensor down) "
    "-> Tensor",
)
def moe_experts(
    x: torch.Tensor,
    expert_ids: torch.Tensor,
    expert_weights: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
) -> torch.Tensor:
    """Experts alone: `expert_ids` and `expert_weights` [T, K] say what each of x's T rows takes.
    Numbers that are no expert's add nothing."""
    call = _Call(x, gate_up, down, expert_ids.shape[-1])
    if not expert_ids.numel() == expert_weights.numel() == call.num_tokens * call.top_k:
        _refuse(
            f"expert_ids and expert_weights [T, K] of {call.num_tokens} tokens were wanted, found "
            f"{list(expert_ids.shape)} and {list(expert_weights.shape)}"
        )
    if expert_ids.dtype not in (torch.int64, torch.int32):
        _refuse(f"expert_ids: int64 or int32 was wanted, found {expert_ids.dtype}")
    ids, weights = expert_ids.contiguous(), expert_weights.contiguous()
    call.check_device(ids, weights)
    call.native.set_chosen(
        ids.data_ptr(), ids.dtype == torch.int64, weights.data_ptr(), _kind(weights)
    )
    return call.run()


@torch.library.custom_op(
    "glmoe::fused_moe",
    mutates_args=(),
    schema="(Tensor x, Tensor router_weight, Tensor? router_bias, Tensor gate_up, Tensor down, "
    "int top_k, int n_group, int topk_group, bool norm_topk_prob, float routed_scaling_factor) "
    "-> Tensor",
)
def _fused_moe(
    x: torch.Tensor,
    router_weight: torch.Tensor,
    router_bias: torch.Tensor | None,
    gate_up: torch.Tensor,
    down: torch.Tensor,
    top_k: int,
    n_group: int,
    topk_group: int,
    norm_topk_prob: bool,
    routed_scaling_factor: float,
) -> torch.Tensor:
    call = _Call(x, gate_up, down, top_k)
    if router_weight.shape != (gate_up.shape[0], x.shape[-1]):
        _refuse(
            f"router: weight [{gate_up.shape[0]}, {x.shape[-1]}] was wanted, found "
            f"{list(router_weight.shape)}"
        )
    weight = router_weight.contiguous()
    # The choice is in float32, so is what decides it.
    bias = None if router_bias is None else router_bias.to(torch.float32).contiguous()
    if bias is not None:
        if bias.numel() != gate_up.shape[0]:
            _refuse(f"router: a bias of {gate_up.shape[0]} was wanted, found {bias.numel()}")
        call.check_device(bias)
    call.check_device(weight)
    config = _moe_config(
        gate_up.shape[0], top_k, n_group, topk_group, norm_topk_prob, routed_scaling_factor
    )
    call.native.set_router(config, _kind(weight))
    call.native.set_router_memory(weight.data_ptr(), 0 if bias is None else bias.data_ptr())
    return call.run()


@moe_experts.register_fake
@_fused_moe.register_fake
def _shaped_as(x: torch.Tensor, *_others: object) -> torch.Tensor:
    return x.new_empty(x.shape)


@functools.lru_cache(maxsize=64)
def _moe_config(
    num_experts: int, top_k: int, n_group: int, topk_group: int, normalize: bool, factor: float
) -> _glmoe.MoeConfig:
    return _glmoe.MoeConfig(
        num_experts=num_experts,
        top_k=top_k,
        n_group=n_group,
        topk_group=topk_group,
        norm_topk_prob=normalize,
        routed_scaling_factor=factor,
        normalization_mode=_glmoe.ExpertScaleNormalizationMode.SIGMOID_BIAS_RENORM,
    )


_teams: dict[int, _glmoe.MoeTeam] = {}  # by process: one made by fork() has none of the threads


def _team() -> _glmoe.MoeTeam:
    process = os.getpid()
    if process not in _teams:
        _teams[process] = _glmoe.MoeTeam(torch.get_num_threads())
    return _teams[process]


@atexit.register
def _release() -> None:
    """PyTorch keeps its operators, and with them this module, beyond the interpreter's end."""
    _teams.clear()
    _moe_config.cache_clear()


class _Call:
    """A checked call, of which the routing is still to be set. A decode step makes one a layer, so
    messages are only put together where something is wrong."""

    def __init__(
        self, x: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor, top_k: int
    ) -> None:
        if gate_up.dim() != 3 or down.dim() != 3 or x.dim() < 1:
            _refuse("gate_up [E, 2I, H], down [E, H, I] and x [..., H] were wanted")
        num_experts, hidden, inner = down.shape
        if gate_up.shape != (num_experts, 2 * inner, hidden) or x.shape[-1] != hidden:
            _refuse(
                f"gate_up [E, 2I, H], down [E, H, I] and x [..., H] were wanted, found "
                f"{list(gate_up.shape)}, {list(down.shape)} and {list(x.shape)}"
            )
        if not x.dtype == gate_up.dtype == down.dtype:
            _refuse(
                f"x, gate_up and down of one type were wanted, found {x.dtype}, {gate_up.dtype} "
                f"and {down.dtype}"
            )
        if not (gate_up.is_contiguous() and down.is_contiguous()):
            _refuse(
                "the experts' weights are not contiguous: they are read in place, so call "
                ".contiguous() on them once"
            )
        self.x = x.contiguous()
        self.device = x.device
        self.out = torch.empty_like(self.x)
        self.top_k = top_k
        self.num_tokens = x.numel() // hidden
        self.native = _glmoe.MoeCall((num_experts, hidden, inner, _kind(x)), top_k)
        self.native.set_memory(
            self.x.data_ptr(), self.out.data_ptr(), gate_up.data_ptr(), down.data_ptr()
        )
        self.check_device(gate_up, down)

    def check_device(self, *others: torch.Tensor) -> None:
        for other in others:
            if other.device != self.device:
                _refuse(f"all tensors on {self.device} were wanted, found one on {other.device}")

    def run(self) -> torch.Tensor:
        if self.num_tokens == 0:
            return self.out
        kind, index = self.device.type, self.device.index
        if kind == "cpu":
            self.native.run(_team(), self.num_tokens)
        elif kind != "cuda":
            raise Error(f"fused_moe: device {self.device}: cpu or cuda was wanted", "unsupported")
        elif index == torch.cuda.current_device():
            self._enqueue(index)
        else:
            with torch.cuda.device(index):
                self._enqueue(index)
        return self.out

    # PyTorch's allocator knows the stream: what a call leaves is not given to another before the
    # kernels are done with it, and a graph that is being captured has memory of its own.
    def _enqueue(self, index: int) -> None:
        size = self.native.workspace_bytes(self.num_tokens)
        workspace = torch.empty(size, dtype=torch.uint8, device=self.device)
        stream = torch.cuda.current_stream(index).cuda_stream
        self.native.enqueue(self.num_tokens, index, workspace.data_ptr(), size, stream)


def _kind(tensor: torch.Tensor) -> int:
    kind = _KINDS.get(tensor.dtype)
    if kind is None:
        raise Error(
            f"fused_moe: float32, bfloat16 or float16 was wanted, found {tensor.dtype}",
            "unsupported",
        )
    return kind


def _refuse(message: str) -> NoReturn:
    raise Error(f"fused_moe: {message}", "invalid_argument")
