#!/usr/bin/env python3
"""Makes the golden folders: tiny random GLM-4 MoE models with reference logits and greedy tokens.

    make_goldens.py --config tests/data/goldens/air/config.json --out air [--seed 1]
    make_goldens.py --check tests/data/goldens/air

The first form writes a new folder for a configuration: random bfloat16 weights under Hugging Face's
names, and reference.safetensors with `input_ids` [3, 33] int32, `logits` [3, 33, V] float32 and
`greedy_ids` [3, 36] int32 (12 given tokens, then 24 greedy ones), all computed by Hugging Face
transformers in float64. The second recomputes a folder's references and compares.
"""
import argparse
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import Glm4MoeConfig, Glm4MoeForCausalLM

ROWS, LENGTH = 3, 33
GIVEN, GREEDY = 12, 24
# Larger than at the start of training, so that experts, heads and tokens differ visibly.
WEIGHT_STD = 0.08
BIAS_STD = 0.2


def randomise(model, seed):
    """Every parameter and the routers' selection biases, so that no term of the maths is idle."""
    generator = torch.Generator().manual_seed(seed)
    noise = lambda value: torch.randn(value.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("norm.weight"):
                value.copy_(1 + 0.1 * noise(value))
            elif name.endswith("e_score_correction_bias") or name.endswith(".bias"):
                value.copy_(BIAS_STD * noise(value))
            elif name.endswith("weight") or "experts" in name:
                value.copy_(WEIGHT_STD * noise(value))


def greedy(model, prompt):
    """Plain greedy decoding over the whole text each time: no cache, no end token."""
    ids = prompt
    for _ in range(GREEDY):
        ids = torch.cat((ids, model(ids).logits[:, -1:].argmax(-1)), 1)
    return ids


@torch.no_grad()
def references(folder, input_ids):
    # The eager experts: the grouped product knows no float64.
    model = Glm4MoeForCausalLM.from_pretrained(folder, dtype=torch.float64,
                                               experts_implementation="eager").eval()
    return {"input_ids": input_ids.to(torch.int32),
            "logits": model(input_ids).logits.to(torch.float32).contiguous(),
            "greedy_ids": greedy(model, input_ids[:, :GIVEN]).to(torch.int32).contiguous()}


def make(config_file, out, seed):
    config = Glm4MoeConfig.from_json_file(config_file)
    model = Glm4MoeForCausalLM(config).to(torch.bfloat16)
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer.data = buffer.data.to(torch.float32)
    randomise(model, seed)
    model.save_pretrained(out)
    shutil.copy(config_file, out / "config.json")
    generator = torch.Generator().manual_seed(seed + 1)
    input_ids = torch.randint(config.vocab_size, (ROWS, LENGTH), generator=generator)
    save_file(references(out, input_ids), out / "reference.safetensors")


def check(folder):
    """0 where the folder's references are what this machine computes."""
    stored = load_file(folder / "reference.safetensors")
    ours = references(folder, stored["input_ids"].long())
    error = ((ours["logits"] - stored["logits"]).norm() / stored["logits"].norm()).item()
    same = torch.equal(ours["greedy_ids"], stored["greedy_ids"])
    print(f"{folder.name}: rel_err={error:.2e} greedy={'same' if same else 'DIFFERENT'}")
    return 0 if error <= 1e-6 and same else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", type=pathlib.Path, nargs="+", metavar="FOLDER")
    args = parser.parse_args()
    if args.check:
        sys.exit(max([check(folder) for folder in args.check]))
    if not (args.config and args.out):
        parser.error("either --config and --out, or --check")
    args.out.mkdir(parents=True, exist_ok=True)
    make(args.config, args.out, args.seed)


if __name__ == "__main__":
    main()
