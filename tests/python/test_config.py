"""Configuration classes: keyword arguments with the C++ defaults, equality, copies, pickles."""

import copy
import inspect
import pickle

import pytest

import glmoe
from glmoe import Glm4MoeConfig, KvCacheConfig, Mapping, MoeConfig, QuantAlgo, QuantConfig
from glmoe import QuantMode, SamplingParams
from glmoe._glmoe import LlmOptions

SAMPLES = [
    SamplingParams(temperature=0.5, stop=["a", "b"], logit_bias={3: -1.5}, seed=2**63),
    KvCacheConfig(max_tokens=100, free_memory_fraction=0.25, enable_block_reuse=False),
    MoeConfig(num_experts=16, top_k=4),
    Glm4MoeConfig(hidden_size=64, moe=MoeConfig(num_experts=16), eos_token_ids=[1, 2]),
    Mapping(world_size=4, tp_size=2, ep_size=2, rank=3),
    QuantConfig(quant_algo=QuantAlgo.NVFP4, exclude_modules=["lm_head"]),
    QuantMode.FP8 | QuantMode.FP8_KV_CACHE,
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_copies_and_pickles_are_equal(sample):
    for other in (copy.copy(sample), copy.deepcopy(sample), pickle.loads(pickle.dumps(sample))):
        assert other == sample and other is not sample
        assert repr(other) == repr(sample)
    assert sample != type(sample)() and sample != "something else"


def test_a_repr_is_what_makes_the_same_again():
    names = {name: getattr(glmoe, name) for name in glmoe.__all__}
    for sample in SAMPLES:
        if not isinstance(sample, (QuantMode, QuantConfig)):
            assert eval(repr(sample), names) == sample, repr(sample)


def test_fields_are_set_and_checked():
    params = SamplingParams()
    params.max_tokens = 5
    assert params.max_tokens == 5
    assert (params.temperature, params.stop, params.n) == (None, [], 1)
    params.stop = "end"
    assert params.stop == ["end"]
    params.stop = None
    assert params.stop == []
    for name, value, wanted in (
        ("max_tokens", "5", "int"),
        ("max_tokens", 5.5, "int"),
        ("max_tokens", 2**63, "int"),
        ("temperature", "hot", "float | None"),
        ("stop", [1], "str | list"),
        ("logit_bias", {"a": 1.0}, "dict[int, float]"),
        ("seed", -1, "int | None"),
    ):
        with pytest.raises(TypeError) as caught:
            setattr(params, name, value)
        assert f"SamplingParams: {name}: {wanted}" in str(caught.value)
        with pytest.raises(TypeError):
            SamplingParams(**{name: value})
    with pytest.raises(TypeError, match="takes keyword arguments"):
        SamplingParams(0.5)
    with pytest.raises(TypeError, match="'hidden_sizes'; did you mean 'hidden_size'"):
        Glm4MoeConfig(hidden_sizes=3)
    with pytest.raises(AttributeError):
        params.no_such_field = 1


def test_a_failed_constructor_leaves_nothing_behind():
    for _ in range(1000):
        with pytest.raises(TypeError):
            SamplingParams(stop=["x" * 1000], max_tokens="a")


def test_replaced_changes_a_copy():
    params = SamplingParams(temperature=0.5)
    other = params.replaced(max_tokens=3)
    assert (other.temperature, other.max_tokens, params.max_tokens) == (0.5, 3, 256)


def test_llm_has_the_defaults_of_the_engine():
    signature = inspect.signature(glmoe.LLM.__init__).parameters
    options = LlmOptions()
    differing = {"model", "tokenizer", "kv_cache_config"}  # None stands for the engine's own
    for name, parameter in signature.items():
        if hasattr(options, name) and name not in differing:
            assert parameter.default == getattr(options, name), name
    missing = set(options.__getstate__()) - set(signature)
    assert not missing, f"LLM() does not take {missing}"


def test_direct_sampling_arguments_are_the_fields_of_sampling_params():
    from glmoe._arguments import SamplingFields

    assert set(SamplingFields.__annotations__) == set(SamplingParams().__getstate__())


def test_moe_fields_have_hugging_faces_names_too():
    config = Glm4MoeConfig(n_routed_experts=32, num_experts_per_tok=4, n_shared_experts=2)
    assert (config.moe.num_experts, config.moe.top_k, config.moe.num_shared_experts) == (32, 4, 2)
    assert config == Glm4MoeConfig(moe=MoeConfig(num_experts=32, top_k=4, num_shared_experts=2))


def test_presets_and_files(demo):
    assert "glm-4.5-air" in Glm4MoeConfig.preset_names()
    air = Glm4MoeConfig.preset("glm-4.5-air")
    assert air.num_hidden_layers == 46 and air.moe.num_experts == 128
    assert Glm4MoeConfig.from_file(demo + "/config.json").moe.num_experts == 16
    with pytest.raises(glmoe.Error) as caught:
        Glm4MoeConfig.preset("glm-9")
    assert caught.value.code == "not_found" and "glm-4.6" in str(caught.value)
    with pytest.raises(glmoe.Error, match="num_attention_heads"):
        Glm4MoeConfig(num_attention_heads=0).validate()


def test_a_mapping_fills_in_what_follows():
    inside = Mapping(tp_size=4, moe_ep_size=2)
    assert (inside.world_size, inside.moe_tp_size, inside.moe_ep_size) == (4, 2, 2)
    staged = Mapping(world_size=2, pp_size=2)
    assert [staged.at_rank(r).pp_layers(5) for r in (0, 1)] == [[0, 1, 2], [3, 4]]
    for wrong in ({"world_size": 2}, {"rank": 1}, {"tp_size": 0}, {"cp_size": 2, "ep_size": 2}):
        with pytest.raises(glmoe.Error) as caught:
            Mapping(**wrong)
        assert caught.value.code == "invalid_argument"


@pytest.mark.parametrize("algo", [a for a in QuantAlgo if not a.name.startswith("W4A16_")])
def test_an_algorithm_is_known_by_its_mode(algo):
    mode = QuantMode.from_quant_algo(algo, QuantAlgo.FP8)
    config = QuantConfig(quant_mode=mode)
    assert (config.quant_algo, config.kv_cache_quant_algo) == (algo, QuantAlgo.FP8)
    assert config.quant_mode == mode and mode.has_fp8_kv_cache()
    assert QuantConfig(quant_algo=algo.name).quant_algo == algo


def test_modes_that_contradict_themselves_are_refused():
    with pytest.raises(glmoe.Error, match="per_token"):
        QuantMode.from_description(per_token=True)
    with pytest.raises(glmoe.Error, match="no algorithm is described"):
        QuantConfig(quant_mode=QuantMode.INT4_WEIGHTS | QuantMode.PER_TOKEN)
    with pytest.raises(glmoe.Error, match="FP9"):
        QuantConfig(quant_algo="FP9")
    assert not QuantMode.NONE and QuantMode.FP8_1x128_128x128.has_fp8_block_scales()


def test_errors_have_codes_and_pickle():
    with pytest.raises(glmoe.Error) as caught:
        Mapping(tp_size=-1)
    other = pickle.loads(pickle.dumps(caught.value))
    assert (str(other), other.code) == (str(caught.value), "invalid_argument")
    assert isinstance(other, RuntimeError)
