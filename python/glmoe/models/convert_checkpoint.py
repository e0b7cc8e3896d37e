"""Converts a Hugging Face checkpoint: `python -m glmoe.models.convert_checkpoint --model_dir ...`.

The flags, the messages and the exit status are those of `glmoe convert`.
"""

from glmoe._program import run_program

if __name__ == "__main__":
    run_program("convert")
