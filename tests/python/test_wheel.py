"""A wheel is built from the sources, installed into an empty environment and used there, away from
the build folder. The compiler's work comes out of ccache, since the build has just done it; the
kernels for GPUs, which take longest, are left out."""

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("scikit_build_core")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **options):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("PYTHON", "GLMOE"))}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                          env=environment, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", ROOT, "--no-build-isolation", "--no-deps",
        "--config-settings=cmake.define.GLMOE_CUDA=OFF", "--wheel-dir", folder, timeout=1700)
    (file,) = folder.glob("glmoe-*.whl")
    return file


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/pip", "install", "--disable-pip-version-check", wheel, timeout=300)
    return folder


def test_it_holds_the_package_and_the_program(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("glmoe/__init__.py", "glmoe/py.typed", "glmoe/_glmoe.pyi",
                   "glmoe/models/glm4_moe_model.py"):
        assert wanted in names
    assert sum(name.startswith("glmoe/_glmoe.") and name.endswith(".so") for name in names) == 1
    assert any(name.endswith(".data/scripts/glmoe") for name in names)
    assert not [name for name in names if name.endswith((".a", ".h", ".cc", ".pyc"))]


def test_it_generates_in_an_empty_environment(environment, demo, tmp_path, llm):
    code = ("import sys, glmoe\n"
            "with glmoe.LLM(sys.argv[1], backend='cpu') as llm:\n"
            "    print(llm.generate('What is a violin?', max_tokens=16, temperature=0)"
            ".outputs[0].token_ids)\n"
            "    llm.generate(['Hello'] * 3, max_tokens=2)\n")
    found = run(environment / "bin/python", "-c", code, demo, cwd=tmp_path)
    wanted = llm.generate("What is a violin?", max_tokens=16, temperature=0).outputs[0].token_ids
    assert found == f"{wanted}\n"


def test_its_commands_run(environment, demo, tmp_path):
    assert run(environment / "bin/glmoe", "--version", cwd=tmp_path).startswith("glmoe ")
    run(environment / "bin/python", "-m", "glmoe.models.glm4_moe_model", "--model_dir", demo,
        "--output_dir", "engine", cwd=tmp_path)
    assert (tmp_path / "engine/manifest.json").is_file()
