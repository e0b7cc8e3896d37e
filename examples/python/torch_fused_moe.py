#!/usr/bin/env python3
"""GLMoE's mixture of experts in a module of your own: one operator, read in place, traceable.

    python3 examples/python/torch_fused_moe.py
"""

import torch

from glmoe.torch import Experts, Router, fused_moe


class Moe(torch.nn.Module):
    """Router and experts of GLM-4.5-Air's proportions, smaller."""

    def __init__(self, hidden: int = 512, inner: int = 192, experts: int = 16) -> None:
        super().__init__()
        self.gate = torch.nn.Parameter(0.02 * torch.randn(experts, hidden))
        self.bias = torch.nn.Buffer(torch.zeros(experts))
        self.gate_up_proj = torch.nn.Parameter(0.02 * torch.randn(experts, 2 * inner, hidden))
        self.down_proj = torch.nn.Parameter(0.02 * torch.randn(experts, hidden, inner))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        router = Router(self.gate, self.bias, top_k=4)
        return fused_moe(x, router, Experts(self.gate_up_proj, self.down_proj))


device = "cuda" if torch.cuda.is_available() else "cpu"
moe = Moe().to(device, torch.bfloat16).eval()
with torch.inference_mode():
    x = torch.randn(2, 5, 512, device=device, dtype=torch.bfloat16)
    print("one call:  ", moe(x).shape)
    print("by token:  ", torch.equal(moe(x[:1, :1]), moe(x)[:1, :1]))  # a row depends on itself alone
