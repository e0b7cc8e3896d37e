"""LLM.generate: every form of prompt, the C++ program's own tokens, and refusals."""

import glob
import os
import subprocess
import sys

import pytest

import glmoe
from glmoe import SamplingParams

PROMPTS = ["What is a violin?", "Tell me about Norway.", "Define happiness.", "17 + 25 ="]
GREEDY = SamplingParams(temperature=0.0, max_tokens=24)


def ids(output):
    return [answer.token_ids for answer in output.outputs]


def test_greedy_tokens_are_those_of_the_program(llm, cpp_answers):
    wanted = cpp_answers(PROMPTS, "--temperature", "0", "--max_tokens", "24")
    for output, answer in zip(llm.generate(PROMPTS, GREEDY, use_tqdm=False), wanted, strict=True):
        assert output.prompt_token_ids == answer["prompt_token_ids"]
        assert output.outputs[0].token_ids == answer["outputs"][0]["token_ids"]
        assert output.outputs[0].text == answer["outputs"][0]["text"]
        assert output.outputs[0].finish_reason == answer["outputs"][0]["finish_reason"]


def test_sampled_tokens_and_logprobs_are_those_of_the_program(llm, cpp_answers):
    flags = "--temperature 0.9 --top_p 0.9 --seed 7 --n 3 --max_tokens 12 --logprobs 3".split()
    (wanted,) = cpp_answers(PROMPTS[:1], *flags)
    output = llm.generate(
        PROMPTS[0], temperature=0.9, top_p=0.9, seed=7, n=3, max_tokens=12, logprobs=3
    )
    assert len(output.outputs) == 3
    for answer, cpp in zip(output.outputs, wanted["outputs"], strict=True):
        assert answer.token_ids == cpp["token_ids"]
        assert answer.cumulative_logprob == pytest.approx(cpp["cumulative_logprob"], rel=1e-6)
        for position, entries in zip(answer.logprobs, cpp["logprobs"], strict=True):
            assert list(position) == list(dict.fromkeys(entry["token_id"] for entry in entries))
            for entry in entries:
                found = position[entry["token_id"]]
                assert found.rank == entry["rank"]
                assert found.logprob == pytest.approx(entry["logprob"], rel=1e-6)


def test_forms_of_a_prompt_mean_the_same(llm):
    text = PROMPTS[0]
    tokens = llm.tokenize(text)
    wanted = ids(llm.generate(text, GREEDY))
    for form in (tokens, tuple(tokens), {"prompt": text}, {"prompt_token_ids": tokens}):
        output = llm.generate(form, GREEDY)
        assert isinstance(output, glmoe.RequestOutput)
        assert ids(output) == wanted
    for form in ([text], [tokens], [{"prompt": text}], (text,)):
        outputs = llm.generate(form, GREEDY, use_tqdm=False)
        assert isinstance(outputs, list)
        assert [ids(output) for output in outputs] == [wanted]
    assert llm.generate([], GREEDY) == []


def test_arrays_of_ids_are_prompts(llm):
    numpy = pytest.importorskip("numpy")
    tokens = llm.tokenize(PROMPTS[0])
    wanted = ids(llm.generate(tokens, GREEDY))
    assert ids(llm.generate(numpy.array(tokens), GREEDY)) == wanted
    rows = llm.generate(numpy.array([tokens, tokens], dtype=numpy.int32), GREEDY, use_tqdm=False)
    assert [ids(output) for output in rows] == [wanted, wanted]


def test_one_sampling_params_each_or_for_all(llm):
    each = [SamplingParams(temperature=0.0, max_tokens=n) for n in (1, 2, 3)]
    outputs = llm.generate(["Hello"] * 3, each, use_tqdm=False)
    assert [len(output.outputs[0].token_ids) for output in outputs] == [1, 2, 3]
    outputs = llm.generate(["Hello"] * 3, each, max_tokens=5, use_tqdm=False)
    assert [len(output.outputs[0].token_ids) for output in outputs] == [5, 5, 5]
    assert [params.max_tokens for params in each] == [1, 2, 3]
    with pytest.raises(glmoe.Error, match="3 prompts came with 2 sampling parameters"):
        llm.generate(["Hello"] * 3, each[:2])


def test_more_prompts_than_the_queue_holds_are_all_answered(demo):
    with glmoe.LLM(model=demo, backend="cpu", max_queued_requests=4, max_batch_size=4) as small:
        outputs = small.generate(["Hello"] * 40, max_tokens=2, temperature=0.0, use_tqdm=False)
    assert len({tuple(output.outputs[0].token_ids) for output in outputs}) == 1
    assert len(outputs) == 40


def test_stop_strings_and_reasons(llm):
    whole = llm.generate(PROMPTS[0], GREEDY).outputs[0]
    stop = whole.text.split()[2]
    answer = llm.generate(PROMPTS[0], GREEDY, stop=stop).outputs[0]
    assert (answer.finish_reason, answer.stop_reason) == ("stop", stop)
    assert answer.text == whole.text[: whole.text.index(stop)]
    answer = llm.generate(PROMPTS[0], GREEDY, stop_token_ids=[whole.token_ids[3]]).outputs[0]
    assert answer.stop_reason == str(whole.token_ids[3])
    assert answer.token_ids == whole.token_ids[:4]
    assert whole.stop_reason is None and whole.error is None and whole.logprobs is None


def test_prompt_logprobs_and_metrics(llm):
    output = llm.generate(PROMPTS[0], GREEDY, prompt_logprobs=1)
    assert len(output.prompt_logprobs) == len(output.prompt_token_ids)
    assert output.prompt_logprobs[0] == {}
    for token, position in zip(output.prompt_token_ids[1:], output.prompt_logprobs[1:]):
        assert position[token].logprob <= 0.0
    assert 0 < output.metrics.first_token_ms <= output.metrics.total_ms


def test_a_deadline_ends_an_answer_with_a_reason(llm):
    answer = llm.generate("Hello", max_tokens=2000, ignore_eos=True, timeout=0.05).outputs[0]
    assert answer.finish_reason == "timeout"
    assert 0 < len(answer.token_ids) < 2000


def test_an_output_outlives_its_model_and_its_parent(demo):
    with glmoe.LLM(model=demo, backend="cpu") as short_lived:
        answers = short_lived.generate("Hello", GREEDY).outputs
    assert answers[0].text.strip() and len(answers[0].token_ids) > 10
    assert repr(answers[0]).startswith("CompletionOutput(index=0, text=")


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (3, "prompts: str, list"),
        (None, "prompts: str, list"),
        ([1, "a"], "token ids: list"),
        ([2**40], "token ids: list"),
        (["Hello", None], "str, list"),
        ({"text": "Hello"}, "{'prompt': str}"),
        ({"prompt": 3}, "str"),
        ("\ud800", "surrogates"),
    ],
)
def test_wrong_types_are_named(llm, prompt, said):
    with pytest.raises(TypeError) as caught:
        llm.generate(prompt, GREEDY)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "fields", "said"),
    [
        ("", {}, "the prompt is empty"),
        ([-1], {}, "-1"),
        ([10**6], {}, "out of range"),
        ("Hello", {"temperature": -1.0}, "temperature"),
        ("Hello", {"top_p": 2.0}, "top_p"),
        ("Hello", {"n": 0}, "n"),
        ("Hello", {"max_tokens": 0}, "max_tokens"),
        (["Hello", ""], {}, "prompt 1"),
    ],
)
def test_wrong_values_are_refused_by_the_engine(llm, prompt, fields, said):
    before = llm.stats().generated_tokens
    with pytest.raises(glmoe.Error, match=said) as caught:
        llm.generate(prompt, use_tqdm=False, **fields)
    assert caught.value.code == "invalid_argument"
    assert llm.stats().num_running == 0 and llm.stats().generated_tokens == before


def test_unknown_arguments_name_what_is_close(llm, demo):
    with pytest.raises(TypeError, match="'max_token'; did you mean 'max_tokens'"):
        llm.generate("Hello", max_token=3)
    with pytest.raises(TypeError, match="'tensor_parallel'; did you mean 'tensor_parallel_size'"):
        glmoe.LLM(model=demo, tensor_parallel=2)
    with pytest.raises(TypeError, match="'max_model_len'; here it is max_seq_len"):
        glmoe.LLM(model=demo, max_model_len=64)


def test_a_missing_model_is_an_error_with_a_code():
    with pytest.raises(glmoe.Error, match="no-such-folder") as caught:
        glmoe.LLM(model="no-such-folder")
    assert caught.value.code == "not_found"


def test_a_progress_bar_counts_the_batch(llm, capsys):
    llm.generate(["Hello"] * 5, max_tokens=2, use_tqdm=True)
    shown = capsys.readouterr().err
    assert "5/5" in shown and "tokens/s" in shown
    llm.generate(["Hello"] * 5, max_tokens=2, use_tqdm=False)
    llm.generate("Hello", max_tokens=2)
    assert capsys.readouterr().err == ""


def test_expert_counts_and_stats(llm):
    before = llm.expert_counts()
    llm.generate("Tell me about Norway.", GREEDY)
    after = llm.expert_counts()
    layers = [layer for layer, row in enumerate(after.tokens) if row]
    assert layers == [l for l in range(llm.config.num_hidden_layers) if llm.config.is_moe_layer(l)]
    for layer in layers:
        assert len(after.tokens[layer]) == llm.config.moe.num_experts
        new = sum(after.tokens[layer]) - sum(before.tokens[layer])
        assert new % llm.config.moe.top_k == 0 and new > 0
    assert after.steps > before.steps
    assert llm.stats().kv_blocks_total > 0
    assert llm.startup[0].ms >= 0


def test_dummy_weights_of_a_configuration(demo):
    config = glmoe.Glm4MoeConfig.from_file(os.path.join(demo, "config.json"))
    with glmoe.LLM(load_format="dummy", config=config, backend="cpu") as dummy:
        output = dummy.generate([1, 2, 3], max_tokens=3, ignore_eos=True)
    assert len(output.outputs[0].token_ids) == 3


def test_it_needs_neither_numpy_nor_tqdm_to_be_imported(demo):
    code = (
        "import sys; sys.modules['numpy'] = sys.modules['tqdm'] = sys.modules['torch'] = None\n"
        f"import glmoe; llm = glmoe.LLM({demo!r}, backend='cpu')\n"
        "print(llm.generate(['Hello'], max_tokens=2, use_tqdm=False)[0].outputs[0].finish_reason)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "length\n", done.stderr


def test_the_package_has_one_extension_module():
    folder = os.path.dirname(glmoe.__file__)
    assert len(glob.glob(os.path.join(folder, "_glmoe*.so"))) == 1


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_that_is_none_is_refused(llm, timeout):
    for call in (llm.generate, llm.generate_streaming, llm.generate_async):
        with pytest.raises(glmoe.Error, match="timeout: more than 0 seconds") as caught:
            call("Hello", max_tokens=1, timeout=timeout)
        assert caught.value.code == "invalid_argument"
