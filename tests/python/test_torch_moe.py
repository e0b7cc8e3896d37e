"""glmoe.torch's operators against the definition, and as transformers' experts.

Skipped where PyTorch is missing; what is about transformers, where that is; what is about a GPU,
where there is no Hopper GPU for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import glmoe.torch as gt  # noqa: E402
from glmoe import Error  # noqa: E402


def _hopper() -> bool:
    return torch.cuda.is_available() and torch.cuda.get_device_capability() == (9, 0)


GPU = pytest.param(
    "cuda", marks=pytest.mark.skipif(not _hopper(), reason="no NVIDIA Hopper GPU for PyTorch")
)
DEVICES = ["cpu", GPU]


def make_layer(device, dtype, *, experts=8, hidden=128, inner=192, tokens=5, top_k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape, scale):
        return (torch.randn(*shape, generator=generator) * scale).to(device, dtype)

    weights = gt.Experts(
        normal(experts, 2 * inner, hidden, scale=0.08), normal(experts, hidden, inner, scale=0.08)
    )
    x = normal(tokens, hidden, scale=1.0)
    scores = torch.rand(tokens, experts, generator=generator)
    ids = scores.topk(top_k, dim=-1)[1].to(device)
    chosen = torch.rand(tokens, top_k, generator=generator).to(device)
    return x, weights, ids, chosen


def exact(x, weights, ids, chosen):
    """The definition in float64."""
    gate_up, down = weights.gate_up.double(), weights.down.double()
    out = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    for token in range(x.shape[0]):
        for slot in range(ids.shape[1]):
            expert = int(ids[token, slot])
            if not 0 <= expert < gate_up.shape[0]:
                continue
            gate, up = (gate_up[expert] @ x[token].double()).chunk(2)
            value = down[expert] @ (torch.nn.functional.silu(gate) * up)
            out[token] += chosen[token, slot].double() * value
    return out


def distance(found, wanted):
    return float((found.double() - wanted).norm() / wanted.norm())


# float32 sums; 16-bit types round the inputs of products and the result.
TOLERANCES = {torch.float32: 2e-6, torch.bfloat16: 6e-3, torch.float16: 1e-3}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("tokens", [1, 8, 32, 300])  # 300: grouped products on a GPU
def test_experts_with_given_choices_are_the_definition(device, dtype, tokens):
    if device == "cuda" and dtype == torch.float32:
        pytest.skip("the GPU's kernels take 16-bit weights")
    x, weights, ids, chosen = make_layer(device, dtype, tokens=tokens)
    found = gt.fused_moe(x, (ids, chosen), weights)
    assert found.dtype == dtype and found.shape == x.shape
    assert distance(found, exact(x, weights, ids, chosen)) < TOLERANCES[dtype]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_row_has_the_same_bits_alone_and_among_others(device, dtype):
    x, weights, ids, chosen = make_layer(device, dtype, tokens=12)
    together = gt.fused_moe(x, (ids, chosen), weights)
    for t in range(12):
        alone = gt.fused_moe(x[t : t + 1], (ids[t : t + 1], chosen[t : t + 1]), weights)
        assert torch.equal(alone[0], together[t])


@pytest.mark.parametrize("device", DEVICES)
def test_numbers_of_32_bits_and_weights_of_any_type_are_taken(device):
    x, weights, ids, chosen = make_layer(device, torch.bfloat16)
    chosen = chosen.to(torch.bfloat16)
    wide = gt.fused_moe(x, (ids, chosen.float()), weights)
    assert torch.equal(gt.fused_moe(x, (ids.int(), chosen), weights), wide)


@pytest.mark.parametrize("device", DEVICES)
def test_a_number_that_is_no_experts_adds_nothing(device):
    x, weights, ids, chosen = make_layer(device, torch.bfloat16, tokens=6)
    ids[1::2, 0] = 8  # as expert parallelism marks the experts of other ranks
    ids[2, :] = -1
    found = gt.fused_moe(x, (ids, chosen), weights)
    assert distance(found, exact(x, weights, ids, chosen)) < 6e-3
    assert not found[2].any()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tokens", [1, 7, 200])
def test_the_router_is_transformers_own(device, tokens):
    modeling = pytest.importorskip(
        "transformers.models.glm4_moe.modeling_glm4_moe", reason="transformers is not installed"
    )
    config = modeling.Glm4MoeConfig(
        hidden_size=128, n_routed_experts=8, num_experts_per_tok=3, n_group=2, topk_group=1,
        routed_scaling_factor=1.5,
    )
    x, weights, _, _ = make_layer(device, torch.bfloat16, tokens=tokens)
    router = modeling.Glm4MoeTopkRouter(config).to(device)
    with torch.no_grad():
        router.weight.normal_(generator=torch.Generator(device).manual_seed(1), std=0.1)
        router.e_score_correction_bias.normal_(
            generator=torch.Generator(device).manual_seed(2), std=0.05
        )
        for weight_type in (torch.float32, torch.bfloat16):
            router.weight.data = router.weight.data.to(weight_type)
            _, chosen, ids = router(x)
            found = gt.fused_moe(x, gt.Router.of(router), weights)
            assert distance(found, exact(x, weights, ids, chosen)) < 6e-3


def test_leading_dimensions_stay_and_shared_experts_are_added():
    x, weights, ids, chosen = make_layer("cpu", torch.float32, tokens=6)
    flat = gt.fused_moe(x, (ids, chosen), weights)
    folded = gt.fused_moe(x.view(2, 3, -1), (ids, chosen), weights, shared=lambda rows: 2 * rows)
    assert torch.equal(folded, (flat + 2 * x).view(2, 3, -1))
    empty = gt.fused_moe(x[:0], (ids[:0], chosen[:0]), weights)
    assert empty.shape == (0, 128)


@pytest.mark.parametrize("device", DEVICES)
def test_the_operators_keep_pytorchs_rules(device):
    x, weights, ids, chosen = make_layer(device, torch.bfloat16)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(
        torch.ops.glmoe.moe_experts, (x, ids, chosen, weights.gate_up, weights.down),
        test_utils=checks,
    )
    router = torch.randn(8, 128, device=device)
    torch.library.opcheck(
        torch.ops.glmoe.fused_moe,
        (x, router, None, weights.gate_up, weights.down, 3, 1, 1, True, 1.0),
        test_utils=checks,
    )


@pytest.mark.parametrize("device", DEVICES)
def test_they_are_traced_as_one_operator(device):
    x, weights, ids, chosen = make_layer(device, torch.bfloat16)

    def block(rows, numbers, factors):
        return 2 * gt.fused_moe(rows + 1, (numbers, factors), weights)

    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(x, ids, chosen), block(x, ids, chosen))


@pytest.mark.parametrize("device", [GPU])
@pytest.mark.parametrize("tokens", [1, 32, 600])
def test_a_captured_graph_replays_on_new_input(device, tokens):
    x, weights, ids, chosen = make_layer(device, torch.bfloat16, tokens=tokens)
    router = gt.Router(torch.randn(8, 128, device=device), None, 3)
    for routing in ((ids, chosen), router):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            gt.fused_moe(x, routing, weights)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        place = x.clone()
        with torch.cuda.graph(graph):
            out = gt.fused_moe(place, routing, weights)
        place.copy_(x.flip(0))
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(out, gt.fused_moe(x.flip(0).contiguous(), routing, weights))


@pytest.mark.parametrize("device", [GPU])
def test_it_runs_on_the_current_stream(device):
    x, weights, ids, chosen = make_layer(device, torch.bfloat16)
    wanted = gt.fused_moe(x, (ids, chosen), weights)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # tens of milliseconds
        doubled = (x * 2) / 2  # ready only afterwards
        found = gt.fused_moe(doubled, (ids, chosen), weights)
    assert not stream.query()  # nobody waited
    stream.synchronize()
    assert torch.equal(found, wanted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() here")
def test_a_forked_process_has_threads_of_its_own():
    x, weights, ids, chosen = make_layer("cpu", torch.float32)
    wanted = gt.fused_moe(x, (ids, chosen), weights)
    child = os.fork()
    if child == 0:
        same = torch.equal(gt.fused_moe(x, (ids, chosen), weights), wanted)
        os._exit(0 if same else 1)
    for _ in range(300):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert status == 0


def refusal(call):
    with pytest.raises(Error) as caught:
        call()
    return str(caught.value)


def test_what_does_not_fit_is_named():
    x, weights, ids, chosen = make_layer("cpu", torch.float32)
    assert "one type" in refusal(lambda: gt.fused_moe(x.bfloat16(), (ids, chosen), weights))
    assert "5 tokens" in refusal(lambda: gt.fused_moe(x, (ids[:4], chosen[:4]), weights))
    assert "int64 or int32" in refusal(lambda: gt.fused_moe(x, (ids.short(), chosen), weights))
    turned = gt.Experts(weights.gate_up.mT.contiguous().mT, weights.down)
    assert "contiguous" in refusal(lambda: gt.fused_moe(x, (ids, chosen), turned))
    assert "gate_up [E, 2I, H]" in refusal(
        lambda: gt.fused_moe(x[:, :64], (ids, chosen), weights)
    )
    assert "router: weight [8, 128]" in refusal(
        lambda: gt.fused_moe(x, gt.Router(torch.zeros(7, 128)), weights)
    )
    whole = gt.Experts(weights.gate_up.long(), weights.down.long())
    assert "int64" in refusal(lambda: gt.fused_moe(x.long(), (ids, chosen), whole))


@pytest.mark.parametrize("device", [GPU])
def test_what_the_gpus_kernels_do_not_take_is_named(device):
    x, weights, ids, chosen = make_layer(device, torch.float32)
    assert "float32" in refusal(lambda: gt.fused_moe(x, (ids, chosen), weights))
    x, weights, ids, chosen = make_layer(device, torch.bfloat16, inner=72)
    assert "intermediate_size 72" in refusal(lambda: gt.fused_moe(x, (ids, chosen), weights))
    x, weights, ids, chosen = make_layer(device, torch.bfloat16)
    assert "found one on cpu" in refusal(lambda: gt.fused_moe(x, (ids.cpu(), chosen), weights))


def test_there_is_no_gradient_and_that_is_said():
    x, weights, ids, chosen = make_layer("cpu", torch.float32)
    x.requires_grad_()
    with pytest.raises(RuntimeError, match="autograd"):
        gt.fused_moe(x, (ids, chosen), weights).sum().backward()


def test_the_interpreter_ends_without_a_word():
    """PyTorch keeps modules beyond the interpreter's end, but nothing of ours that counts; and a
    forked process ends, too."""
    code = """
import os, sys, torch, glmoe.torch as gt
x, gate = torch.randn(2, 64), torch.randn(4, 64)
experts = gt.Experts(torch.randn(4, 128, 64), torch.randn(4, 64, 64))
def call(): return gt.fused_moe(x, gt.Router(gate, torch.zeros(4), top_k=2), experts)
first = call()
child = os.fork()
if child == 0:
    sys.exit(0 if torch.equal(first, call()) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), first.shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 torch.Size([2, 64])\n", "")
