"""Builds an engine: `python -m glmoe.models.glm4_moe_model --model_dir M --output_dir E ...`.

M is a Hugging Face folder (converted and built in one go) or a converted one. The flags, the
messages and the exit status are those of `glmoe build`.
"""

from glmoe import ChatGLMConfig, Glm4MoeConfig, Mapping, MoeConfig
from glmoe._program import run_program

__all__ = ["ChatGLMConfig", "Glm4MoeConfig", "Mapping", "MoeConfig"]

if __name__ == "__main__":
    run_program("build")
