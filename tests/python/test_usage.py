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
    for quantization in (quant_config, "FP8", QuantConfig(quant_mode=weight_only)):
        with pytest.raises(glmoe.Error, match="quantization") as caught:
            LLM(model="glm4-moe-demo", quantization=quantization)
        assert caught.value.code == "unsupported"
