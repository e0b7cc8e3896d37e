"""transformers' own Glm4MoeForCausalLM beside GLMoE: with its experts, as backend="torch", and as
the source of weights. Skipped where PyTorch or transformers 5 is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
if int(transformers.__version__.split(".")[0]) < 5:
    pytest.skip("transformers 5 is needed", allow_module_level=True)

import glmoe.torch as gt  # noqa: E402
from glmoe import LLM, Error, KvCacheConfig, SamplingParams  # noqa: E402

DEMO = str(Path(__file__).parents[2] / "models" / "glm4-moe-demo")
HOPPER = torch.cuda.is_available() and torch.cuda.get_device_capability() == (9, 0)
GPU = pytest.param(
    "cuda", marks=pytest.mark.skipif(not HOPPER, reason="no NVIDIA Hopper GPU for PyTorch")
)
PROMPT = "What is a violin?"
CACHE = KvCacheConfig(max_tokens=2048)


def load(dtype, device="cpu", implementation="eager"):
    return (
        transformers.Glm4MoeForCausalLM.from_pretrained(
            DEMO, dtype=dtype, experts_implementation=implementation, local_files_only=True
        )
        .to(device)
        .eval()
    )


@pytest.fixture(scope="module")
def engine():
    with LLM(DEMO, backend="cpu", dtype="float32", kv_cache_config=CACHE, num_threads=2) as llm:
        yield llm


@pytest.fixture(scope="module")
def ids(engine):
    text = engine.apply_chat_template(
        [{"role": "user", "content": PROMPT}], enable_thinking=False
    )
    return engine.tokenize(text)


def logits_of(model, ids):
    with torch.inference_mode():
        return model(torch.tensor([ids], device=model.device)).logits[0].float().cpu()


# ---------------------------------------------------------------- experts of transformers


@pytest.mark.parametrize(
    ("device", "dtype", "tolerance"),
    [
        ("cpu", torch.float32, 1e-4),
        ("cpu", torch.bfloat16, 2e-2),
        pytest.param("cuda", torch.bfloat16, 2e-2, marks=GPU.marks),
    ],
)
def test_a_model_with_glmoe_experts_gives_the_models_own_logits(ids, device, dtype, tolerance):
    model = load(dtype, device)
    wanted = logits_of(model, ids)
    assert gt.use_glmoe_experts(model) is model
    assert model.config._experts_implementation == "glmoe"
    found = logits_of(model, ids)
    assert float((found - wanted).norm() / wanted.norm()) < tolerance
    # They really ran: the bits of another way to sum are others.
    assert not torch.equal(found, wanted)
    model.set_experts_implementation("eager")
    assert torch.equal(logits_of(model, ids), wanted)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_its_greedy_text_is_the_models_own(ids, device):
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model = load(dtype, device)
    prompt = torch.tensor([ids], device=device)
    asked = {"max_new_tokens": 32, "do_sample": False}
    wanted = model.generate(prompt, **asked)
    found = gt.use_glmoe_experts(model).generate(prompt, **asked)
    assert found.tolist() == wanted.tolist()


def test_it_can_be_asked_for_when_the_model_is_loaded(ids):
    name = gt.register_experts()
    model = load(torch.float32, implementation=name)
    assert model.config._experts_implementation == "glmoe"
    wanted = logits_of(load(torch.float32), ids)
    assert float((logits_of(model, ids) - wanted).norm() / wanted.norm()) < 1e-4


def test_a_model_that_it_cannot_run_is_refused_with_the_reason():
    with pytest.raises(Error, match="no modules with gate_up_proj"):
        gt.use_glmoe_experts(torch.nn.Linear(4, 4))
    model = load(torch.float32)
    for layer in model.model.layers[1:]:
        layer.mlp.experts.act_fn = torch.nn.GELU()
    with pytest.raises(Error, match="activation is GELU"):
        gt.use_glmoe_experts(model)
    assert model.config._experts_implementation == "eager"


# ---------------------------------------------------------------- backend="torch"


@pytest.fixture(scope="module")
def torch_llm():
    backend = "torch:cpu"
    with LLM(DEMO, backend=backend, dtype="float32", kv_cache_config=CACHE) as llm:
        yield llm


def test_backend_torch_gives_the_engines_text(engine, torch_llm, ids):
    greedy = SamplingParams(max_tokens=40, temperature=0)
    prompts = [ids, engine.tokenize("A poem about the sea:"), ids[:7]]
    wanted = engine.generate(prompts, greedy, use_tqdm=False)
    found = torch_llm.generate(prompts, greedy, use_tqdm=False)
    for mine, theirs in zip(found, wanted):
        assert mine.outputs[0].token_ids == theirs.outputs[0].token_ids
        assert mine.outputs[0].text == theirs.outputs[0].text
        assert mine.outputs[0].finish_reason == theirs.outputs[0].finish_reason
    assert "PyTorch" in torch_llm.describe() and "glmoe experts" in torch_llm.describe()


def test_backend_torch_streams_stops_and_samples_like_the_engine(engine, torch_llm, ids):
    whole = torch_llm.generate(ids, max_tokens=40, temperature=0).outputs[0]
    pieces = list(torch_llm.generate_streaming(ids, max_tokens=40, temperature=0))
    assert "".join(pieces) == whole.text and len(pieces) > 3
    word = whole.text.split()[3]
    stopped = torch_llm.generate(ids, max_tokens=40, temperature=0, stop=word).outputs[0]
    assert stopped.finish_reason == "stop" and stopped.stop_reason == word
    assert word not in stopped.text and whole.text.startswith(stopped.text)
    short = torch_llm.generate(ids, max_tokens=3, temperature=0).outputs[0]
    assert short.finish_reason == "length" and len(short.token_ids) == 3
    # The sampler is the engine's: the same seed draws the same tokens of (nearly) the same logits.
    drawn = {"max_tokens": 12, "temperature": 0.8, "top_p": 0.9, "seed": 5, "logprobs": 2}
    mine = torch_llm.generate(ids, **drawn).outputs[0]
    theirs = engine.generate(ids, **drawn).outputs[0]
    assert mine.token_ids == theirs.token_ids
    assert mine.cumulative_logprob == pytest.approx(theirs.cumulative_logprob, abs=1e-2)


def test_backend_torch_chats(torch_llm):
    output = torch_llm.chat(
        [{"role": "user", "content": "What is the capital of Peru?"}],
        enable_thinking=False,
        temperature=0,
        max_tokens=40,
    )
    assert "Lima" in output.content


def test_a_loaded_model_can_be_the_engines(engine, ids):
    model = gt.use_glmoe_experts(load(torch.float32))
    with gt.llm_of(model, DEMO, kv_cache_config=CACHE) as llm:
        found = llm.generate(ids, max_tokens=8, temperature=0).outputs[0]
    assert found.token_ids == engine.generate(ids, max_tokens=8, temperature=0).outputs[0].token_ids


def test_a_failure_of_the_model_ends_the_answer_and_is_named(ids):
    model = load(torch.float32)
    fails = True

    def hook(*_):
        if fails:
            raise ValueError("a layer said no")

    model.model.layers[2].register_forward_pre_hook(hook)
    with gt.llm_of(model, DEMO, kv_cache_config=CACHE) as llm:
        answer = llm.generate(ids, max_tokens=4).outputs[0]
        assert answer.finish_reason == "error" and "a layer said no" in answer.error
        fails = False
        assert llm.generate(ids, max_tokens=4, ignore_eos=True).outputs[0].error in (None, "")


def test_backend_torch_refuses_what_it_cannot_load():
    with pytest.raises(Error, match="Hugging Face folder"):
        LLM("", backend="torch")
    with pytest.raises(Error, match="nowhere"):
        LLM("/nowhere/at/all", backend="torch")
    with pytest.raises(Error, match="torch:toaster"):
        LLM(DEMO, backend="torch:toaster")


@pytest.mark.parametrize("device", [GPU])
def test_backend_torch_runs_on_the_gpu(device, ids):
    with LLM(DEMO, backend="torch", dtype="bfloat16", kv_cache_config=CACHE) as llm:
        assert "cuda" in llm.describe()
        answer = llm.generate(ids, max_tokens=40, temperature=0).outputs[0]
    assert "violin" in answer.text.lower()


# ---------------------------------------------------------------- tensors both ways


def test_logits_and_hidden_states_are_transformers_own_and_no_copies(engine, ids):
    model = load(torch.float32)
    with torch.inference_mode():
        output = model(torch.tensor([ids]), output_hidden_states=True)
    first, second = engine.logits([ids, ids[:3]])
    logits = torch.from_dlpack(first)
    assert logits.dtype == torch.float32 and logits.shape == (len(ids), 8192)
    assert torch.from_dlpack(first).data_ptr() == logits.data_ptr()
    assert torch.from_dlpack(second).shape == (3, 8192)
    wanted = output.logits[0]
    assert float((logits - wanted).norm() / wanted.norm()) < 1e-4
    hidden = torch.from_dlpack(engine.hidden_states([torch.tensor(ids)])[0])
    wanted = output.hidden_states[-1][0]
    assert float((hidden - wanted).norm() / wanted.norm()) < 1e-4
    numpy = pytest.importorskip("numpy")
    assert numpy.from_dlpack(first).ctypes.data == logits.data_ptr()


def test_tensors_outlive_the_engine(ids):
    with LLM(DEMO, backend="cpu", kv_cache_config=CACHE) as llm:
        tensor = torch.from_dlpack(llm.logits([ids])[0])
        before = tensor.clone()
    del llm
    assert torch.equal(tensor, before)


@pytest.mark.parametrize("device", [GPU])
def test_the_gpus_logits_and_hidden_states_stay_there(device, ids):
    with LLM(DEMO, backend="cuda", dtype="bfloat16", kv_cache_config=CACHE) as llm:
        first = llm.logits([ids])[0]
        logits = torch.from_dlpack(first)
        assert logits.is_cuda and torch.from_dlpack(first).data_ptr() == logits.data_ptr()
        hidden = torch.from_dlpack(llm.hidden_states([ids])[0])
    assert hidden.is_cuda and hidden.dtype == torch.bfloat16
    model = load(torch.bfloat16, "cuda")
    wanted = logits_of(model, ids)
    assert float((logits.cpu() - wanted).norm() / wanted.norm()) < 2e-2
    by_hand = torch.nn.functional.linear(hidden, model.lm_head.weight).float()
    assert float(((by_hand - logits).norm() / logits.norm()).detach()) < 1e-2


def test_a_state_dict_runs_in_place(engine, ids):
    model = load(torch.float32)
    with LLM.from_state_dict(
        DEMO, model.state_dict(), backend="cpu", kv_cache_config=CACHE, num_threads=2
    ) as llm:
        assert "read in place" in llm.describe()
        found = torch.from_dlpack(llm.logits([ids])[0])
        wanted = logits_of(model, ids)
        assert float((found - wanted).norm() / wanted.norm()) < 1e-4
        # In place indeed: what PyTorch changes, the engine reads.
        model.lm_head.weight.data.zero_()
        assert not torch.from_dlpack(llm.logits([ids])[0]).any()


def test_a_state_dict_of_the_inner_types_is_refused_by_name():
    state = load(torch.float32).state_dict()
    state["model.norm.weight"] = state["model.norm.weight"].double()
    with pytest.raises(Error, match="model.norm.weight"):
        LLM.from_state_dict(DEMO, state)
    del state["model.norm.weight"]
    with pytest.raises(Error, match="model.norm.weight"):
        LLM.from_state_dict(DEMO, state)
    with pytest.raises(TypeError, match="DLPack"):
        LLM.from_state_dict(DEMO, {"model.norm.weight": "text"})


def test_transformers_logits_processors_run_in_the_engine(engine, ids):
    banned = engine.generate(ids, max_tokens=1, temperature=0).outputs[0].token_ids[0]
    seen = []

    def watch(input_ids, scores):
        seen.append(input_ids)
        return scores

    processor = gt.from_transformers(
        transformers.SuppressTokensLogitsProcessor([banned], device="cpu"), watch
    )
    answer = engine.generate(ids, max_tokens=4, temperature=0, logits_processor=processor)
    assert banned not in answer.outputs[0].token_ids
    assert seen[0].tolist() == [ids]
    assert seen[1].tolist() == [ids + answer.outputs[0].token_ids[:1]]


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("name", "said"), [("torch_experts", "instrument"), ("torch_fused_moe", "by token:   True")]
)
def test_an_example_runs(name, said, tmp_path):
    example = Path(DEMO).parents[1] / "examples" / "python" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, str(example), *([DEMO] if name == "torch_experts" else [])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


# ---------------------------------------------------------------- without PyTorch


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("torch", "import glmoe.torch"),
        ("torch", f"import glmoe; glmoe.LLM({DEMO!r}, backend='torch')"),
        ("transformers", "import glmoe.torch; glmoe.torch.register_experts()"),
    ],
)
def test_what_is_missing_is_said_with_the_remedy(missing, code):
    hide = f"import sys; sys.modules[{missing!r}] = None; "
    done = subprocess.run(
        [sys.executable, "-c", hide + code],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 1
    assert "ImportError" in done.stderr and "pip install glmoe[torch]" in done.stderr
    assert missing in done.stderr.splitlines()[-1].lower().replace("pytorch", "torch")
