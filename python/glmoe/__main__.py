"""`python -m glmoe` is the program `glmoe`."""

from ._program import run_program

run_program()
