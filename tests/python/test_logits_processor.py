"""SamplingParams.logits_processor: a Python function between the model and the sampler."""

from __future__ import annotations

import copy
import gc
import math
import threading
import weakref
from pathlib import Path

import pytest

from glmoe import LLM, Error, KvCacheConfig, SamplingParams

DEMO = str(Path(__file__).parents[2] / "models" / "glm4-moe-demo")


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def llm(request):
    try:
        model = LLM(DEMO, backend=request.param, kv_cache_config=KvCacheConfig(max_tokens=2048))
    except Error as error:
        pytest.skip(str(error))
    with model:
        yield model


def test_it_sees_the_tokens_and_decides_the_next(llm):
    seen = []

    def force(token_ids, logits):
        seen.append(token_ids.tolist())
        assert len(logits) == 8192 and logits.format == "f"
        logits[500 + len(seen)] = math.inf

    output = llm.generate([301, 302], max_tokens=3, temperature=0, logits_processor=force)
    assert output.outputs[0].token_ids == [501, 502, 503]
    assert seen == [[301, 302], [301, 302, 501], [301, 302, 501, 502]]


def test_what_it_returns_takes_the_logits_place(llm):
    numpy = pytest.importorskip("numpy")

    def replace(token_ids, logits):
        del token_ids
        row = numpy.full(len(logits), -5.0, dtype=numpy.float32)
        row[777] = 1.0
        return row

    output = llm.generate([301], max_tokens=2, temperature=0, logits_processor=replace)
    assert output.outputs[0].token_ids == [777, 777]
    short = llm.generate([301], max_tokens=2, logits_processor=lambda ids, row: [1.0])
    assert short.outputs[0].finish_reason == "error"
    assert "8192 float32" in short.outputs[0].error


def test_numpy_works_on_the_memory_itself(llm):
    numpy = pytest.importorskip("numpy")

    def ban_all_but_two(token_ids, logits):
        del token_ids
        row = numpy.asarray(logits)
        kept = row[[600, 601]].copy()
        row[:] = -numpy.inf
        row[[600, 601]] = kept

    output = llm.generate([301], max_tokens=20, seed=1, logits_processor=ban_all_but_two)
    assert set(output.outputs[0].token_ids) <= {600, 601}


def test_an_exception_ends_its_answer_and_no_other(llm):
    def refuse(token_ids, logits):
        del logits
        if len(token_ids) == 4:
            raise KeyError("no such word")

    failing = SamplingParams(max_tokens=8, temperature=0, ignore_eos=True, logits_processor=refuse)
    plain = SamplingParams(max_tokens=8, temperature=0, ignore_eos=True)
    bad, good = llm.generate([[301, 302], [301, 302]], [failing, plain], use_tqdm=False)
    assert bad.outputs[0].finish_reason == "error"
    assert "KeyError" in bad.outputs[0].error and "no such word" in bad.outputs[0].error
    assert len(bad.outputs[0].token_ids) == 2
    assert good.outputs[0].finish_reason == "length" and len(good.outputs[0].token_ids) == 8


def test_a_view_that_it_keeps_is_an_error(llm):
    numpy = pytest.importorskip("numpy")
    kept = []
    output = llm.generate(
        [301], max_tokens=2, logits_processor=lambda ids, row: kept.append(numpy.asarray(row))
    )
    assert output.outputs[0].finish_reason == "error"
    assert "kept a view of the logits" in output.outputs[0].error
    kept.clear()


def test_memoryviews_end_with_the_call(llm):
    kept = []
    llm.generate([301], max_tokens=1, logits_processor=lambda ids, row: kept.append(row))
    with pytest.raises(ValueError, match="released"):
        kept[0][0]


def test_several_answers_and_threads_call_it(llm):
    calls = []

    def count(token_ids, logits):
        del logits
        calls.append(len(token_ids))

    params = SamplingParams(max_tokens=5, ignore_eos=True, n=3, seed=2, logits_processor=count)
    workers = [
        threading.Thread(target=llm.generate, args=([301, 302], params)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(calls) == 4 * 3 * 5


def test_parameters_keep_it():
    def function(token_ids, logits):
        del token_ids, logits

    params = SamplingParams(logits_processor=function)
    assert params.logits_processor is function
    assert copy.copy(params).logits_processor is function
    assert params == params.replaced(max_tokens=256) and params != SamplingParams()
    params.logits_processor = None
    assert params == SamplingParams()
    with pytest.raises(TypeError, match="logits_processor"):
        SamplingParams(logits_processor="text")


def test_an_engine_that_is_dropped_in_the_middle_of_it_ends():
    model = LLM(DEMO, backend="cpu", kv_cache_config=KvCacheConfig(max_tokens=512))
    begun = threading.Event()

    def slow(token_ids, logits):
        del token_ids, logits
        begun.set()

    result = model.generate_async([301], max_tokens=200, ignore_eos=True, logits_processor=slow)
    assert begun.wait(30)
    del model
    answer = result.result(timeout=30).outputs[0]
    assert answer.finish_reason in ("cancelled", "length")


def test_an_object_that_is_its_own_processor_is_collected():
    class Steps:
        def __init__(self):
            self.params = SamplingParams(logits_processor=self.change)

        def change(self, token_ids, logits):
            pass

    steps = Steps()
    kept = steps.params.replaced(max_tokens=2)
    gone = weakref.ref(steps)
    del steps
    gc.collect()
    assert kept.logits_processor.__self__ is gone()
    del kept
    gc.collect()
    assert gone() is None
