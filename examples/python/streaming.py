"""Text as it comes."""

from __future__ import annotations

from demo import MODEL, chat_prompt

from glmoe import LLM

with LLM(model=MODEL) as llm:
    prompt = chat_prompt(llm, "Tell me about Norway.")
    for piece in llm.generate_streaming(prompt, max_tokens=64, temperature=0.0):
        print(piece, end="", flush=True)
        if piece.finish_reason is not None:
            print(f"\n[{piece.finish_reason}]")
