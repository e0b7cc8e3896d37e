#!/usr/bin/env python3
"""A Hugging Face model whose MoE layers run on GLMoE's kernels, after one call.

    python3 examples/python/torch_experts.py models/glm4-moe-demo
"""

import sys
from typing import Any

import torch
from transformers import AutoTokenizer, Glm4MoeForCausalLM

from glmoe.torch import use_glmoe_experts

folder = sys.argv[1] if len(sys.argv) > 1 else "models/glm4-moe-demo"
device = "cuda" if torch.cuda.is_available() else "cpu"
model: Any = Glm4MoeForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
use_glmoe_experts(model.to(device))

tokenizer = AutoTokenizer.from_pretrained(folder)
messages = [{"role": "user", "content": "What is a violin?"}]
prompt: Any = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, enable_thinking=False, return_tensors="pt"
)
answer = model.generate(**prompt.to(device), max_new_tokens=48, do_sample=False)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
