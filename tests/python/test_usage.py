"""The programs of users of TensorRT-LLM and vLLM, with the import changed and nothing else. The
model is the demo model, the machine any CPU."""

import asyncio
import contextlib
import io

import pytest

import glmoe


@pytest.fixture(autouse=True)
def in_models_folder(monkeypatch, demo):
    """The programs name the model by its folder alone."""
    monkeypatch.chdir(demo + "/..")


def test_basic_inference():
    from glmoe import LLM, SamplingParams

    llm = LLM(model="glm4-moe-demo")
    sampling_params = SamplingParams(temperature=0.8, top_p=0.95, max_tokens=16)
    output = llm.generate("Hello, my name is", sampling_params)
    text = io.StringIO()
    print(output, file=text)
    assert text.getvalue() == output.outputs[0].text + "\n"
    assert len(output.outputs[0].token_ids) <= 16
    assert output.outputs[0].finish_reason in ("stop", "length")


def test_basic_inference_with_direct_arguments():
    from glmoe import LLM

    llm = LLM(model="glm4-moe-demo", tokenizer="glm4-moe-demo", dtype="bfloat16")
    output = llm.generate("What is the capital of Peru?", max_tokens=32, temperature=0.0)
    assert output.prompt == "What is the capital of Peru?"
    assert output.outputs[0].text


def test_batch_processing():
    from glmoe import LLM, SamplingParams

    prompts = ["What is a violin?", "Tell me about Norway.", "Define happiness."]
    llm = LLM(model="glm4-moe-demo", max_batch_size=8, max_num_tokens=256)
    outputs = llm.generate(prompts, SamplingParams(temperature=0.0, max_tokens=12))
    assert [output.prompt for output in outputs] == prompts
    for output in outputs:
        prompt, generated_text = output.prompt, output.outputs[0].text
        assert f"Prompt: {prompt!r}, Generated text: {generated_text!r}"
    for prompt, together in zip(prompts, outputs):
        alone = llm.generate(prompt, max_tokens=12, temperature=0.0)
        assert alone.outputs[0].token_ids == together.outputs[0].token_ids


def test_streaming():
    from glmoe import LLM

    llm = LLM(model="glm4-moe-demo")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for piece in llm.generate_streaming("What is a violin?", max_tokens=24, temperature=0.0):
            print(piece, end="", flush=True)
    whole = llm.generate("What is a violin?", max_tokens=24, temperature=0.0)
    assert printed.getvalue() == whole.outputs[0].text


def test_async_streaming_in_the_style_of_tensorrt_llm():
    from glmoe import LLM, SamplingParams

    llm = LLM(model="glm4-moe-demo")
    params = SamplingParams(temperature=0.0, max_tokens=24)

    async def task(prompt):
        text = ""
        async for output in llm.generate_async(prompt, params, streaming=True):
            text += output.outputs[0].text_diff
            assert output.outputs[0].text == text
        return text

    async def main():
        return await asyncio.gather(task("What is a violin?"), task("Define happiness."))

    texts = asyncio.run(main())
    assert texts[0] == str(llm.generate("What is a violin?", params))


def test_model_configuration():
    from glmoe import Glm4MoeConfig, MoeConfig, QuantConfig

    config = Glm4MoeConfig(
        vocab_size=65536,
        hidden_size=4096,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=13696,
        head_dim=128,
        max_position_embeddings=8192,
        moe=MoeConfig(
            num_experts=8,
            top_k=2,
            normalization_mode=MoeConfig.ExpertScaleNormalizationMode.RENORMALIZE,
            moe_intermediate_size=1408,
        ),
        quantization=QuantConfig(),
        chatglm_version="glm4_moe",
    )
    config.validate()
    assert config.moe.has_moe()
    assert config.num_experts_per_tok == config.moe.top_k == 2
    assert config.moe.normalization_mode == MoeConfig.ExpertScaleNormalizationMode.RENORMALIZE
    assert glmoe.ChatGLMConfig is Glm4MoeConfig


def test_parallelism_configuration():
    from glmoe import Glm4MoeConfig, Mapping

    mapping = Mapping(world_size=4, tp_size=2, pp_size=1, ep_size=2)
    assert (mapping.world_size, mapping.tp_size, mapping.moe_ep_size) == (4, 2, 2)
    ranks = [mapping.at_rank(rank) for rank in range(4)]
    assert [rank.tp_rank for rank in ranks] == [0, 1, 0, 1]
    assert [rank.moe_ep_rank for rank in ranks] == [0, 0, 1, 1]
    Glm4MoeConfig.preset("glm-4.5-air").validate_mapping(mapping)
    with pytest.raises(glmoe.Error, match="world_size") as caught:
        Mapping(world_size=3, tp_size=2)
    assert caught.value.code == "invalid_argument"


def test_parallel_sizes_are_answered_by_the_engine():
    from glmoe import LLM

    with pytest.raises(glmoe.Error, match="several ranks") as caught:
        LLM(model="glm4-moe-demo", tensor_parallel_size=2, expert_parallel_size=2)
    assert caught.value.code == "unsupported"
    llm = LLM(
        model="glm4-moe-demo",
        tensor_parallel_size=1,
        pipeline_parallel_size=1,
        expert_parallel_size=1,
    )
    assert str(llm.generate("Hello", max_tokens=4))


@pytest.mark.parametrize("moe_backend", ["CUTLASS", "VANILLA", "AUTO"])
def test_moe_backend_selection(moe_backend):
    from glmoe import LLM

    llm = LLM(model="glm4-moe-demo", moe_backend=moe_backend, dtype="float32", backend="cpu")
    output = llm.generate("What is a violin?", max_tokens=12, temperature=0.0)
    assert len(output.outputs[0].token_ids) == 12
    chosen = "CUTLASS" if moe_backend == "AUTO" else moe_backend
    assert f"moe_backend: {chosen}" in llm.describe()


@pytest.mark.parametrize("moe_backend", ["TRTLLM", "WIDEEP"])
def test_moe_backends_that_do_not_run_here_say_why(moe_backend):
    from glmoe import LLM

    with pytest.raises(glmoe.Error, match=moe_backend) as caught:
        LLM(model="glm4-moe-demo", moe_backend=moe_backend)
    assert caught.value.code == "unsupported"


def test_quantisation():
    from glmoe import LLM, QuantConfig, QuantMode

    quant_config = QuantConfig(quant_mode=QuantMode.FP8)
    assert quant_config.quant_mode.has_fp8_qdq()
    assert quant_config.quant_algo == glmoe.QuantAlgo.FP8
    weight_only = QuantMode.use_weight_only()
    assert weight_only.is_weight_only()
    assert not weight_only.has_fp8_block_scales()
    assert QuantMode.NVFP4.has_nvfp4()
    assert QuantConfig(quant_mode=QuantMode.NVFP4).quant_algo == glmoe.QuantAlgo.NVFP4
    # This version runs unquantised weights: the engine says so, and what to do.
    named = {"FP8": (quant_config, "FP8", "fp8", QuantMode.FP8, glmoe.QuantAlgo.FP8),
             "W8A16": (QuantConfig(quant_mode=weight_only), weight_only)}
    for name, quantization in ((name, one) for name in named for one in named[name]):
        with pytest.raises(glmoe.Error, match=f"quantization {name} ") as caught:
            LLM(model="glm4-moe-demo", quantization=quantization)
        assert caught.value.code == "unsupported"


def test_a_name_of_the_hub_is_answered_with_how_to_fetch_it():
    from glmoe import LLM

    with pytest.raises(glmoe.Error, match="hf download zai-org/GLM-4.5-Air --local-dir") as caught:
        LLM(model="zai-org/GLM-4.5-Air")
    assert caught.value.code == "not_found"
    with pytest.raises(glmoe.Error, match="there is no such folder") as caught:
        LLM(model="./zai-org/GLM-4.5-Air")
    assert caught.value.code == "not_found"


class TorchType:
    """PyTorch's types are known by their text alone, so that this runs without it."""

    def __str__(self):
        return "torch.float32"


def test_paths_and_types_may_be_objects(demo):
    import pathlib

    from glmoe import LLM

    with LLM(pathlib.Path(demo), tokenizer=pathlib.Path(demo), dtype=TorchType(),
             backend="cpu") as llm:
        assert llm.compute_dtype == "float32"


@pytest.mark.parametrize(
    ("keyword", "wanted"),
    [("tp_size", "here it is tensor_parallel_size"), ("max_model_len", "here it is max_seq_len"),
     ("revision", "model is a folder of this machine"), ("max_batch_sise", "'max_batch_size'")],
)
def test_arguments_of_other_engines_are_answered_with_ours(keyword, wanted):
    with pytest.raises(TypeError, match=f"{keyword}.*{wanted}"):
        glmoe.LLM("glm4-moe-demo", **{keyword: 1})


@pytest.mark.parametrize("keyword", ["best_of", "end_id", "max_new_tokens", "logits_processors"])
def test_sampling_fields_of_other_engines_are_answered_with_ours(llm, keyword):
    for call in (glmoe.SamplingParams, lambda **fields: llm.generate("Hello", **fields)):
        with pytest.raises(TypeError, match=f"{keyword}'; here it is "):
            call(**{keyword: 1})


@pytest.mark.parametrize("keyword", ["prompts", "prompt_token_ids"])
def test_prompts_by_another_name_are_answered_with_ours(llm, keyword):
    with pytest.raises(TypeError, match=f"{keyword}'; here it is the first argument"):
        llm.generate(**{keyword: [[1, 2]], "max_tokens": 1})
    with pytest.raises(TypeError, match="list of these was wanted, found NoneType"):
        llm.generate(max_tokens=1)


@pytest.mark.parametrize("params", [{"max_tokens": 3}, "max_tokens", 3])
def test_sampling_params_of_a_wrong_type_are_named(llm, params):
    for call in (llm.generate, llm.generate_streaming, llm.generate_async):
        with pytest.raises(TypeError, match=f"found {type(params).__name__}.*max_tokens=64"):
            call("Hello", params)


def test_outputs_go_to_other_processes(llm):
    import copy
    import pickle

    output = llm.generate("What is a violin?", max_tokens=6, temperature=0.0, logprobs=2,
                          prompt_logprobs=1, n=2)
    pieces = list(llm.generate_streaming("What is a violin?", max_tokens=6, logprobs=1))
    chat = llm.chat([{"role": "user", "content": "Hello"}], max_tokens=3, enable_thinking=False)
    for again in (pickle.loads(pickle.dumps(output)), copy.deepcopy(output)):
        assert repr(again) == repr(output) and again.prompt_token_ids == output.prompt_token_ids
        assert repr(again.prompt_logprobs) == repr(output.prompt_logprobs)
        assert again.metrics.total_ms == output.metrics.total_ms > 0
        for mine, other in zip(again.outputs, output.outputs, strict=True):
            assert (mine.text, mine.token_ids, mine.finish_reason, mine.cumulative_logprob) == (
                other.text, other.token_ids, other.finish_reason, other.cumulative_logprob)
            assert repr(mine.logprobs) == repr(other.logprobs) != "None"
    again = pickle.loads(pickle.dumps(pieces))
    assert again == pieces and again[-1].finish_reason == pieces[-1].finish_reason == "length"
    assert again[3].outputs[0].text == pieces[3].outputs[0].text
    assert again[0].logprobs[0].keys() == pieces[0].logprobs[0].keys()
    again = pickle.loads(pickle.dumps(chat))
    assert str(again) == str(chat) and again.request_id == chat.request_id
    assert again.finish_reason == chat.finish_reason == "length"


def test_a_broken_pickle_is_refused():
    for state in ((0, "text", [1], 77, "", "", 0.0, []), (0, "text"), {"index": 0}):
        answer = glmoe.CompletionOutput.__new__(glmoe.CompletionOutput)
        with pytest.raises((TypeError, ValueError)):
            answer.__setstate__(state)
