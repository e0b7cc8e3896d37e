#!/usr/bin/env python3
"""GLMoE's experts beside transformers' own, in one process: time of one MoE layer's experts at the
shapes of GLM-4.5-Air, and how far the results are apart.

    python3 bench/python/torch_moe_bench.py --tokens 1 8 32 --dtype bfloat16

Every implementation gets the same weights, tokens and choices; several sets of tokens take turns,
so that no call finds its weights in the cache. `call`: as a model calls it, launches included;
`graph`: the same as a replayed CUDA graph, where it can be captured. `distance`: relative, from
the definition in float32. Medians of `--repeat` rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from transformers.integrations import moe as implementations
from transformers.models.glm4_moe.modeling_glm4_moe import Glm4MoeConfig, Glm4MoeExperts

import glmoe.torch

SETS = 8
NAMES = ["eager", "batched_mm", "grouped_mm", "glmoe"]


def make_experts(args: argparse.Namespace) -> Glm4MoeExperts:
    config = Glm4MoeConfig(
        hidden_size=args.hidden,
        moe_intermediate_size=args.inner,
        n_routed_experts=args.experts,
        num_experts_per_tok=args.top_k,
    )
    config._experts_implementation = "eager"
    with torch.device(args.device):
        experts = Glm4MoeExperts(config).to(getattr(torch, args.dtype))
    with torch.no_grad():
        for weight in experts.parameters():
            weight.normal_(std=0.02)
    return experts.eval().requires_grad_(False)


def make_sets(args: argparse.Namespace, tokens: int) -> list[tuple[torch.Tensor, ...]]:
    sets = []
    for _ in range(SETS):
        x = torch.randn(tokens, args.hidden, device=args.device, dtype=getattr(torch, args.dtype))
        scores = torch.rand(tokens, args.experts, device=args.device)
        weights, ids = scores.topk(args.top_k, dim=-1)
        sets.append((x, ids, weights / weights.sum(-1, keepdim=True)))
    return sets


def median_us(args: argparse.Namespace, work: list) -> float:
    """Of one entry of `work`."""
    on_gpu = args.device == "cuda"

    def round_us() -> float:
        if on_gpu:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            for one in work:
                one()
            end.record()
            end.synchronize()
            return 1000 * begin.elapsed_time(end) / len(work)
        start = time.perf_counter()
        for one in work:
            one()
        return 1e6 * (time.perf_counter() - start) / len(work)

    for _ in range(3):
        round_us()
    if on_gpu:
        torch.cuda.synchronize()
    return statistics.median(round_us() for _ in range(args.repeat))


def captured(call) -> object | None:
    """The call as a graph's replay; None where it cannot be captured."""
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph.replay
    except RuntimeError:
        torch.cuda.synchronize()
        return None


def exact(
    experts: Glm4MoeExperts, x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """The definition in float32 on the same weights, one expert at a time."""
    out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for expert in ids.unique().tolist():
        token, slot = torch.where(ids == expert)
        gate, up = (x[token].float() @ experts.gate_up_proj[expert].float().T).chunk(2, dim=-1)
        inner = torch.nn.functional.silu(gate) * up
        value = inner @ experts.down_proj[expert].float().T
        out.index_add_(0, token, value * weights[token, slot, None].float())
    return out.double()


@torch.inference_mode()
def bench(args: argparse.Namespace, experts: Glm4MoeExperts, tokens: int) -> None:
    sets = make_sets(args, tokens)
    hit = statistics.mean(ids.unique().numel() for _, ids, _ in sets)
    size = 3 * args.hidden * args.inner * experts.gate_up_proj.element_size() * hit
    print(f"{tokens} tokens: {hit:.1f} experts, {size / 1e6:.0f} MB of weights")
    wanted = [exact(experts, *one) for one in sets]
    times = {}
    for name in args.only or NAMES:
        experts.config._experts_implementation = name
        calls = [lambda one=one: experts(*one) for one in sets]
        try:
            found = [call().double() for call in calls]
        except (RuntimeError, ValueError, torch.OutOfMemoryError) as error:
            print(f"  {name:10s} cannot run: {str(error).splitlines()[0][:90]}")
            continue
        apart = max(float((a - b).norm() / b.norm()) for a, b in zip(found, wanted))
        times[name] = median_us(args, calls)
        line = f"  {name:10s} call {times[name]:9.1f} us"
        if args.device == "cuda" and name != "eager":
            replays = [captured(call) for call in calls]
            if None not in replays:
                graph = median_us(args, replays)
                line += f"   graph {graph:9.1f} us, {size / graph / 1e6:.2f} TB/s of weights"
        print(line + f"   distance {apart:.1e}", flush=True)
        torch.cuda.empty_cache() if args.device == "cuda" else None
    if "glmoe" in times:
        others = ", ".join(
            f"{times[name] / times['glmoe']:.1f} x {name}" for name in times if name != "glmoe"
        )
        print(f"  glmoe's speed is {others}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--inner", type=int, default=1408)
    parser.add_argument("--experts", type=int, default=128)
    parser.add_argument("--top_k", type=int, default=8)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=NAMES)
    args = parser.parse_args()
    torch.manual_seed(1)
    glmoe.torch.register_experts()
    assert "grouped_mm" in implementations.ALL_EXPERTS_FUNCTIONS
    where = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(
        f"{where}, PyTorch {torch.__version__}, {args.dtype}: hidden size {args.hidden}, "
        f"{args.experts} experts of {args.inner}, {args.top_k} a token"
    )
    experts = make_experts(args)
    for tokens in args.tokens:
        bench(args, experts, tokens)


if __name__ == "__main__":
    main()
