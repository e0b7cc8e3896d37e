#!/usr/bin/env python3
"""What the Python binding costs: the same batch by the C++ program and by LLM.generate().

    PYTHONPATH=build/python build/py-venv/bin/python bench/python/overhead.py [runs]

The demo model, 64 prompts of 64 tokens each on the CPU, every run in a process of its own, C++ and
Python in turn. C++: from the first request's submission to the last one's end, as `glmoe run --json`
says. Python: the wall time around generate() and the reading of every text and token.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = str(ROOT / "models/glm4-moe-demo")
WORDS = ["violin", "river", "happiness", "Norway", "piano", "mountain", "Peru", "winter"]
PROMPTS = [f"What is the meaning of {a} and {b}?" for a in WORDS for b in WORDS]
TOKENS = 64

PYTHON = """
import json, sys, time
import glmoe
prompts = json.load(open(sys.argv[2]))
with glmoe.LLM(sys.argv[1], backend="cpu") as llm:
    start = time.perf_counter()
    outputs = llm.generate(prompts, temperature=0, max_tokens=int(sys.argv[3]), ignore_eos=True,
                           use_tqdm=False)
    tokens = [(o.outputs[0].text, o.outputs[0].token_ids) for o in outputs]
    wall = 1000 * (time.perf_counter() - start)
    engine = max(o.metrics.total_ms for o in outputs)
print(json.dumps({"wall": wall, "engine": engine, "tokens": [ids for _, ids in tokens]}))
"""


def cpp_run(file):
    from glmoe._program import find_program

    done = subprocess.run(
        [find_program(), "run", "--model", DEMO, "--backend", "cpu", "--raw", "--json",
         "--prompt_file", file, "--temperature", "0", "--max_tokens", str(TOKENS), "--ignore_eos"],
        stdin=subprocess.DEVNULL, capture_output=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return (max(answer["timing_ms"]["total"] for answer in answers),
            [answer["outputs"][0]["token_ids"] for answer in answers])


def python_run(file):
    done = subprocess.run([sys.executable, "-c", PYTHON, DEMO, file, str(TOKENS)],
                          capture_output=True, check=True)
    return json.loads(done.stdout)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    cpp, python, own = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        lines, array = os.path.join(folder, "prompts.txt"), os.path.join(folder, "prompts.json")
        pathlib.Path(lines).write_text("\n".join(PROMPTS) + "\n")
        pathlib.Path(array).write_text(json.dumps(PROMPTS))
        for _ in range(runs):
            ms, tokens = cpp_run(lines)
            found = python_run(array)
            assert found["tokens"] == tokens, "C++ and Python gave different tokens"
            cpp.append(ms)
            python.append(found["wall"])
            own.append(found["wall"] - found["engine"])
    a, b, c = (statistics.median(values) for values in (cpp, python, own))
    print(f"{len(PROMPTS)} prompts, {TOKENS} tokens each, median of {runs} runs")
    print(f"C++ {a:.1f} ms ({min(cpp):.1f} to {max(cpp):.1f})")
    print(f"Python {b:.1f} ms ({min(python):.1f} to {max(python):.1f}): {100 * (b / a - 1):+.2f} %")
    print(f"of Python's time outside of the engine: {c:.2f} ms, {100 * c / b:.2f} %")


if __name__ == "__main__":
    main()
