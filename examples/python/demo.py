"""What the examples share: the demo model's folder, and a question as its prompt."""

from __future__ import annotations

import os
from pathlib import Path

from glmoe import LLM

# Another model: GLMOE_EXAMPLE_MODEL=folder python basic.py
MODEL = os.environ.get(
    "GLMOE_EXAMPLE_MODEL", str(Path(__file__).resolve().parents[2] / "models/glm4-moe-demo")
)


def chat_prompt(llm: LLM, question: str) -> str:
    """The question in the model's chat template, answered without reasoning."""
    messages = [{"role": "user", "content": question}]
    return llm.apply_chat_template(messages, enable_thinking=False)
