"""What the Python tests share: the demo model, loaded once on the CPU, and the C++ program."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest

import glmoe

# Programs that tests start in other folders find the same package.
if "PYTHONPATH" in os.environ:
    os.environ["PYTHONPATH"] = os.pathsep.join(
        map(os.path.abspath, os.environ["PYTHONPATH"].split(os.pathsep)))

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = pathlib.Path(os.environ.get("GLMOE_MODELS", ROOT / "models")) / "glm4-moe-demo"
BINARY = os.environ.get("GLMOE_BINARY", str(ROOT / "build/bin/glmoe"))


@pytest.fixture(scope="session")
def demo():
    return str(DEMO)


@pytest.fixture(scope="session")
def llm(demo):
    with glmoe.LLM(model=demo, backend="cpu") as loaded:
        yield loaded


@pytest.fixture(scope="session")
def cpp_answers(demo):
    """The program's own outputs for raw prompts, as `glmoe run --json` prints them."""

    def run(prompts, *flags):
        command = [BINARY, "run", "--model", demo, "--backend", "cpu", "--raw", "--json", *flags]
        for prompt in prompts:
            command += ["--prompt", prompt]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run
