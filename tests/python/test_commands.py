"""The commands of the package: the C++ program under the names that users know."""

import os
import pathlib
import subprocess
import sys

import pytest

import glmoe
from glmoe._program import find_program

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONVERT = [str(ROOT / "examples/glm4_moe/convert_checkpoint.py")]
BUILD = ["-m", "glmoe.models.glm4_moe_model"]


def run(command, *flags):
    return subprocess.run([sys.executable, *command, *map(str, flags)], capture_output=True,
                          text=True, timeout=120)


def test_the_program_is_found_and_runs():
    assert os.access(find_program(), os.X_OK)
    done = run(["-m", "glmoe"], "--version")
    assert done.stdout == f"glmoe {glmoe.__version__}\n"


def test_convert_and_build_for_two_ranks(demo, tmp_path):
    ranks = ("--tensor_parallel_size", 2, "--expert_parallel_size", 2)
    done = run(CONVERT, "--model_dir", demo, "--output_dir", tmp_path / "converted", "--dtype",
               "float16", *ranks)
    assert done.returncode == 0, done.stderr
    assert "2 ranks" in done.stdout and "float16" in done.stdout
    done = run(BUILD, "--model_dir", tmp_path / "converted", "--output_dir", tmp_path / "engine",
               "--dtype", "float16", *ranks)
    assert done.returncode == 0, done.stderr
    done = run(BUILD, "--model_dir", demo, "--output_dir", tmp_path / "direct", "--dtype",
               "float16", *ranks)
    assert done.returncode == 0, done.stderr
    answers = []
    for folder in ("converted", "engine", "direct"):
        with glmoe.LLM(tmp_path / folder, backend="cpu") as llm:
            assert llm.weight_dtype == "float16"
            output = llm.generate("What is a violin?", temperature=0.0, max_tokens=24)
            answers.append(output.outputs[0].token_ids)
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(("command", "name"), [(CONVERT, "convert"), (BUILD, "build")])
@pytest.mark.parametrize("flags", [["--help"], ["--no_such_flag"], [],
                                   ["--model_dir", "nowhere", "--output_dir", "out"],
                                   ["--model_dir", "x", "--output_dir", "y", "--dtype", "int3"]])
def test_status_and_messages_are_the_programs_own(command, name, flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = subprocess.run([find_program(), name, *flags], capture_output=True, text=True,
                             timeout=60)
    done = run(command, *flags)
    assert (done.returncode, done.stdout, done.stderr) == (
        program.returncode, program.stdout, program.stderr)
    assert program.returncode == (0 if flags == ["--help"] else program.returncode)


def test_a_missing_program_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("glmoe._program.__file__", str(tmp_path / "a/b/glmoe/_program.py"))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / name))
    monkeypatch.setattr("site.getuserbase", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="install the package with pip"):
        find_program()
