"""One prompt, one answer."""

from __future__ import annotations

from demo import MODEL, chat_prompt

from glmoe import LLM, SamplingParams

with LLM(model=MODEL) as llm:
    prompt = chat_prompt(llm, "What is a violin?")
    output = llm.generate(prompt, SamplingParams(temperature=0.0, max_tokens=64))
    print(output)

    answer = output.outputs[0]
    print(f"{len(answer.token_ids)} tokens, ended by: {answer.finish_reason}")
    print(f"first token after {output.metrics.first_token_ms:.1f} ms, on {llm.device}")
