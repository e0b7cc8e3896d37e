#!/usr/bin/env python3
"""Converts a Hugging Face checkpoint for one or several ranks.

    python convert_checkpoint.py --model_dir HF --output_dir converted --dtype float16 \\
        --tensor_parallel_size 2 --expert_parallel_size 2

The same as `glmoe convert`, whose flags, messages and exit status it has. Build the engine with
`python -m glmoe.models.glm4_moe_model`.
"""

from glmoe._program import run_program

run_program("convert")
