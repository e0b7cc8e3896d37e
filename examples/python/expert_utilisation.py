"""How evenly the experts are used, as numbers and as a picture of the load per layer.

    python expert_utilisation.py [picture.png]
"""

from __future__ import annotations

import sys

import matplotlib

matplotlib.use("Agg")  # no display is needed
import matplotlib.pyplot as plt
from demo import MODEL, chat_prompt

from glmoe import LLM, ExpertCounts

QUESTIONS = ["What is a violin?", "Tell me about Norway.", "Define happiness.", "What is 17 + 25?"]


def shares(counts: ExpertCounts) -> dict[int, list[float]]:
    """Layer -> each expert's share of that layer's tokens. Dense layers have none."""
    return {
        layer: [tokens / sum(row) for tokens in row]
        for layer, row in enumerate(counts.tokens)
        if sum(row) > 0
    }


def plot(load: dict[int, list[float]], file: str) -> None:
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.45 * len(load)), layout="constrained")
    image = axes.imshow(list(load.values()), aspect="auto", cmap="viridis", vmin=0.0)
    axes.set_yticks(range(len(load)), [f"layer {layer}" for layer in load])
    axes.set_xlabel("expert")
    axes.set_title("Share of the layer's tokens")
    figure.colorbar(image)
    figure.savefig(file, dpi=120)


with LLM(model=MODEL) as llm:
    llm.generate([chat_prompt(llm, question) for question in QUESTIONS], max_tokens=64)
    counts = llm.expert_counts()

load = shares(counts)
for layer, row in load.items():
    even = 1.0 / len(row)
    print(f"layer {layer}: the busiest expert has {max(row) / even:.2f} times an even share")
picture = sys.argv[1] if len(sys.argv) > 1 else "expert_utilisation.png"
plot(load, picture)
print(f"wrote {picture}")
