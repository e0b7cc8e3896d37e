"""Many prompts at once, with one SamplingParams for all or one each."""

from __future__ import annotations

from demo import MODEL, chat_prompt

from glmoe import LLM, SamplingParams

QUESTIONS = [
    "What is a violin?",
    "What is the capital of Peru?",
    "What is 17 + 25?",
    "Define happiness.",
    "Tell me about Norway.",
]

with LLM(model=MODEL, max_batch_size=32) as llm:
    prompts = [chat_prompt(llm, question) for question in QUESTIONS]
    outputs = llm.generate(prompts, SamplingParams(temperature=0.0, max_tokens=64))
    for question, output in zip(QUESTIONS, outputs):
        print(f"{question}\n  {output}")

    # The same prompt three times, each its own way.
    ways = [SamplingParams(temperature=t, seed=1, max_tokens=24) for t in (0.0, 0.7, 1.5)]
    for params, output in zip(ways, llm.generate([prompts[3]] * 3, ways, use_tqdm=False)):
        print(f"temperature {params.temperature:.1f}: {output.outputs[0].text}")
