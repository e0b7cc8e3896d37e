"""Requests of an asyncio program: awaited, streamed, and given up."""

from __future__ import annotations

import asyncio

from demo import MODEL, chat_prompt

from glmoe import LLM


async def main() -> None:
    with LLM(model=MODEL) as llm:
        questions = ["What is a violin?", "What is the capital of Peru?", "What is 17 + 25?"]
        results = [
            llm.generate_async(chat_prompt(llm, question), max_tokens=64, temperature=0.0)
            for question in questions
        ]
        for question, output in zip(questions, await asyncio.gather(*results)):
            print(f"{question} {output}")

        async for piece in llm.generate_async(
            chat_prompt(llm, "Define happiness."), max_tokens=64, temperature=0.0
        ):
            print(piece, end="", flush=True)
        print()

        # Whoever stops waiting cancels the request: nothing runs for nobody.
        try:
            story = llm.generate_async("A long story:", max_tokens=1500, ignore_eos=True)
            await asyncio.wait_for(story.aresult(), timeout=0.05)
        except asyncio.TimeoutError:
            print("given up after 50 ms")


asyncio.run(main())
