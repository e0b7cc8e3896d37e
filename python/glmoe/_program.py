"""The C++ program `glmoe`, which is installed with the package."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn


def find_program() -> str:
    """Its path. Raises FileNotFoundError naming the places that were looked at."""
    package = Path(__file__).parent
    places = [
        Path(sysconfig.get_path("scripts")),  # pip install
        Path(site.getuserbase()) / "bin",  # pip install --user
        package.parent / "bin",  # pip install --target
        package.parents[1] / "bin",  # the build folder: python/glmoe beside bin/
    ]
    # An environment on top of a build finds the build's own program first.
    if (package.parents[1] / "CMakeCache.txt").is_file():
        places.insert(0, places.pop())
    for place in places:
        program = place / "glmoe"
        if os.access(program, os.X_OK) and program.is_file():
            return str(program)
    raise FileNotFoundError(
        "the program glmoe was not found in " + ", ".join(map(str, places)) + ": install the "
        "package with pip, which brings it along"
    )


def run_program(*arguments: str) -> NoReturn:
    """Becomes `glmoe ARGUMENTS...` with what is left of the command line: its output, its messages
    and its exit status."""
    try:
        program = find_program()
    except FileNotFoundError as error:
        sys.exit(f"glmoe: {error}")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(program, [program, *arguments, *sys.argv[1:]])
