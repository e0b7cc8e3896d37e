"""Streams and asyncio: pieces add up, whoever leaves cancels, and no thread waits."""

import asyncio
import gc
import threading
import time

import pytest

import glmoe
from glmoe import SamplingParams

PROMPT = "Tell me about Norway."
GREEDY = SamplingParams(temperature=0.0, max_tokens=24)
ENDLESS = SamplingParams(temperature=0.0, max_tokens=1500, ignore_eos=True)


def wait_until_idle(llm):
    end = time.monotonic() + 20
    while llm.stats().num_running or llm.stats().num_waiting:
        assert time.monotonic() < end, "the request still runs"
        time.sleep(0.01)


def test_pieces_add_up_to_the_whole_answer(llm):
    whole = llm.generate(PROMPT, GREEDY, logprobs=1).outputs[0]
    pieces = list(llm.generate_streaming(PROMPT, GREEDY, logprobs=1))
    assert "".join(pieces) == whole.text
    assert [token for piece in pieces for token in piece.token_ids] == whole.token_ids
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].finish_reason == whole.finish_reason and pieces[-1].finished
    assert all(isinstance(piece, str) and piece.text == piece for piece in pieces)
    (answer,) = pieces[-1].outputs
    assert answer.text == whole.text and answer.token_ids == whole.token_ids
    assert len(answer.logprobs) == len(whole.token_ids)
    assert pieces[2].outputs[0].token_ids == whole.token_ids[:3]


def test_several_answers_come_mixed(llm):
    params = SamplingParams(temperature=1.0, seed=3, n=2, max_tokens=8, ignore_eos=True)
    whole = llm.generate(PROMPT, params)
    last = list(llm.generate_streaming(PROMPT, params))[-1]
    assert [answer.index for answer in last.outputs] == [0, 1]
    assert [a.token_ids for a in last.outputs] == [a.token_ids for a in whole.outputs]


def test_leaving_a_loop_cancels_the_request(llm):
    before = llm.stats().cancellations
    for piece in llm.generate_streaming(PROMPT, ENDLESS):
        if piece.strip():
            break
    gc.collect()
    wait_until_idle(llm)
    assert llm.stats().cancellations == before + 1


def test_a_stream_that_nobody_reads_is_cancelled(llm):
    stream = llm.generate_streaming(PROMPT, ENDLESS)
    del stream
    gc.collect()
    wait_until_idle(llm)


def test_bad_requests_raise_at_the_call(llm):
    with pytest.raises(glmoe.Error):
        llm.generate_streaming("", GREEDY)
    with pytest.raises(glmoe.Error):
        llm.generate_async("", GREEDY)


def test_awaited_results_are_those_of_generate(llm):
    prompts = [PROMPT, "What is a violin?", "Define happiness."] * 5
    wanted = [output.outputs[0].token_ids for output in llm.generate(prompts, GREEDY)]

    async def main():
        results = [llm.generate_async(prompt, GREEDY) for prompt in prompts]
        outputs = await asyncio.gather(*results)
        assert all(result.finished for result in results)
        assert await results[0] is outputs[0]  # awaiting again gives the same
        return [output.outputs[0].token_ids for output in outputs]

    assert asyncio.run(main()) == wanted
    assert asyncio.run(main()) == wanted  # another loop


def test_async_pieces_add_up(llm):
    whole = llm.generate(PROMPT, GREEDY).outputs[0]

    async def main():
        result = llm.generate_async(PROMPT, GREEDY)
        text = ""
        async for piece in result:
            text += piece
        output = await result
        assert output.outputs[0].text == text and output.outputs[0].token_ids == whole.token_ids
        assert output.prompt == PROMPT
        return text

    assert asyncio.run(main()) == whole.text


def test_the_loop_runs_while_the_engine_computes(llm):
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticker = asyncio.create_task(tick())
        await llm.generate_async(PROMPT, ENDLESS, max_tokens=200)
        ticker.cancel()
        return ticks

    assert asyncio.run(main()) > 3


def test_waiting_starts_no_threads(llm):
    async def main():
        before = threading.active_count()
        results = [llm.generate_async(PROMPT, GREEDY) for _ in range(8)]
        waiting = asyncio.gather(*results)
        await asyncio.sleep(0)
        assert threading.active_count() == before
        await waiting

    asyncio.run(main())


def test_a_cancelled_task_cancels_its_request(llm):
    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(llm.generate_async(PROMPT, ENDLESS).aresult(), 0.05)
        async for piece in llm.generate_async(PROMPT, ENDLESS):
            if piece.strip():
                break

    asyncio.run(main())
    wait_until_idle(llm)


def test_result_waits_without_a_loop(llm):
    result = llm.generate_async(PROMPT, ENDLESS)
    while result.metrics.first_token_ms == 0:
        with pytest.raises(TimeoutError, match="has not finished in 0.01 s"):
            result.result(timeout=0.01)
    result.cancel()
    output = result.result(timeout=30)
    assert output.outputs[0].finish_reason == "cancelled"
    assert 0 < len(output.outputs[0].token_ids) < 1500
    assert "finished" in repr(result)


def test_many_threads_may_share_one_model(llm):
    wanted = llm.generate(PROMPT, GREEDY).outputs[0].token_ids
    found = []

    def work():
        for _ in range(3):
            found.append(llm.generate(PROMPT, GREEDY).outputs[0].token_ids)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [wanted] * 18
