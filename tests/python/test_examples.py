"""The examples and the notebook run as they stand, and what is generated is up to date."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples/python"
# What each must print somewhere.
SAID = {
    "basic": "ended by: stop",
    "batch": "Lima",
    "streaming": "Norway",
    "async_generation": "given up after 50 ms",
    "chat_with_tools": "get_weather(",
    "quantised": "unsupported: quantization FP8",
    "server_client": "Lima",
    "expert_utilisation": "times an even share",
}


def run(*command, cwd):
    environment = {**os.environ, "GLMOE_EXAMPLE_MODEL": "", "MPLCONFIGDIR": str(cwd)}
    del environment["GLMOE_EXAMPLE_MODEL"]
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True,
                          timeout=300, cwd=cwd, env=environment)


def test_every_example_is_run_by_a_test():
    there = {file.stem for file in FOLDER.glob("*.py")} - {"demo"}
    assert {name for name in there if not name.startswith("torch")} == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_an_example_runs(name, tmp_path):
    done = run(FOLDER / f"{name}.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert SAID[name] in done.stdout
    if name == "expert_utilisation":
        assert (tmp_path / "expert_utilisation.png").read_bytes().startswith(b"\x89PNG")


def test_the_notebook_runs(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(FOLDER / "tour.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "save it without outputs"
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3",
                                     resources={"metadata": {"path": str(FOLDER)}})
    client.execute()
    text = "".join(output.get("text", "") for cell in notebook.cells
                   for output in cell.get("outputs", []))
    assert "Lima" in text and "get_weather" in text
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", [])
                if "image/png" in output.get("data", {})]
    assert len(pictures) == 1


def test_types_are_strict():
    pytest.importorskip("mypy")
    done = run("-m", "mypy", "--no-incremental", "--cache-dir=/dev/null", "python/glmoe",
               "examples/python", cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_stubs_and_signatures_are_the_generated_ones():
    pytest.importorskip("nanobind")
    done = run("tools/python_api.py", cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_mypy_finds_a_users_mistakes(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "wrong.py").write_text(
        "from glmoe import LLM, SamplingParams\n"
        "llm = LLM('m', tensor_paralel_size=2)\n"
        "llm.generate('a', max_token=3)\n"
        "SamplingParams(max_tokens='3')\n"
        "llm.generate(['a']).outputs\n")
    done = run("-m", "mypy", "--strict", "--no-incremental", "--cache-dir=/dev/null",
               tmp_path / "wrong.py", cwd=ROOT)
    for line in (2, 3, 4, 5):
        assert f"wrong.py:{line}: error" in done.stdout, done.stdout
