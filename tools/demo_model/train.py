#!/usr/bin/env python3
"""Trains the demo model and saves it as a Hugging Face checkpoint; needs one CUDA GPU.

    train.py --data data/ --out glm4-moe-demo [--seconds 400]

DATA holds train.txt.gz and heldout.txt.gz as prepare_data.py writes them. Training stops after the
given time, whatever the number of steps: the learning rate follows the clock.
"""
import argparse
import gzip
import json
import math
import pathlib
import time

import torch
import torch.nn.functional as F
from torch import nn

from export import export
from network import CONFIG, Model, Moe
from tokens import encode, train_tokenizer

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "models/glm4-moe-demo/chat_template.jinja"
MTP_WEIGHT = 0.3
BALANCE_RATE = 1e-3
WARM_UP_STEPS = 200
COMPILE_STEPS = 20  # the clock starts after these: they hold the compiler's time


def causal_mask(doc):
    """[B, 1, T, T]: a token sees the earlier ones of its own conversation."""
    length = doc.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=doc.device).tril()
    return ((doc[:, :, None] == doc[:, None, :]) & causal)[:, None]


def losses(model, ids, doc, weight):
    """Weighted cross-entropy of the main head (next token) and the MTP head (the one after)."""
    out = []
    for shift, logits in zip((1, 2), model(ids, causal_mask(doc))):
        same = (doc[:, shift:] == doc[:, :-shift]).float() * weight[:, shift:]
        entropy = F.cross_entropy(logits[:, :-shift].flatten(0, 1).float(),
                                  ids[:, shift:].flatten(), reduction="none")
        out.append((entropy * same.flatten()).sum() / same.sum().clamp(min=1))
    return out


def pack(rows, length):
    """(ids, weights) rows into fixed rows of `length`: ids, conversation number, loss weight."""
    ids, doc, weight = [], [], []
    for number, (row_ids, row_weights) in enumerate(rows):
        ids += row_ids
        doc += [number] * len(row_ids)
        weight += row_weights
    count = len(ids) // length * length
    tensor = lambda values, dtype: torch.tensor(values[:count], dtype=dtype).view(-1, length).cuda()
    return tensor(ids, torch.int32), tensor(doc, torch.int32), tensor(weight, torch.float32)


def make_optimizer(model, rate):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05},
                              {"params": vectors, "weight_decay": 0.0}],
                             lr=rate, betas=(0.9, 0.95), fused=True)


def learning_rate(peak, step, past):
    """Linear warm-up, then half a cosine down to 2 % at `past` = 1."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, past)))
    return peak * min(1.0, (step + 1) / WARM_UP_STEPS) * (0.02 + 0.98 * cosine)


def batches(rows, args):
    """Endless batches; conversations are shuffled anew each time round."""
    generator = torch.Generator().manual_seed(5)
    while True:
        order = torch.randperm(len(rows), generator=generator).tolist()
        ids, doc, weight = pack([rows[i] for i in order], args.length)
        if len(ids) < args.batch:
            raise SystemExit(f"the data fills {len(ids)} rows of {args.length} tokens: a batch "
                             f"needs {args.batch}")
        for i in range(0, len(ids) - args.batch + 1, args.batch):
            rows_of_batch = slice(i, i + args.batch)
            yield ids[rows_of_batch].long(), doc[rows_of_batch], weight[rows_of_batch]


def train(model, rows, args):
    """Trains for args.seconds; returns the number of steps."""
    step_losses = torch.compile(lambda *batch: losses(model, *batch))
    optimizer = make_optimizer(model, args.lr)
    moes = [m for m in model.modules() if isinstance(m, Moe)]
    start = time.time()
    clock = None
    for step, batch in enumerate(batches(rows, args)):
        if step == COMPILE_STEPS:
            torch.cuda.synchronize()
            clock = time.time()
        past = (time.time() - clock) / args.seconds if clock else 0.0
        if past >= 1:
            return step
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args.lr, step, past)
        with torch.autocast("cuda", torch.bfloat16):
            main_loss, mtp_loss = step_losses(*batch)
        (main_loss + MTP_WEIGHT * mtp_loss).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for moe in moes:
            moe.balance(BALANCE_RATE if past < 0.8 else 0.0)
        if step % 200 == 0:
            print(f"step {step} {time.time() - start:.0f} s loss {main_loss.item():.4f} "
                  f"mtp {mtp_loss.item():.4f}", flush=True)


@torch.no_grad()
def evaluate(model, rows, length):
    """Losses on held-out answers, and how often the MTP head says what the main head will."""
    model.eval()
    ids, doc, weight = pack(rows, length)
    said = (weight > 0.5).float()
    sums, hits, total, count = [0.0, 0.0], 0, 0, 0
    for i in range(0, len(ids), 8):
        x, d, w = ids[i:i + 8].long(), doc[i:i + 8], said[i:i + 8]
        with torch.autocast("cuda", torch.bfloat16):
            sums = [s + loss.item() for s, loss in zip(sums, losses(model, x, d, w))]
            main, draft = model(x, causal_mask(d))
        agree = draft[:, :-2].argmax(-1) == main[:, 1:-1].argmax(-1)
        counted = (w[:, 2:] > 0) & (d[:, 2:] == d[:, :-2])
        hits, total = hits + (agree & counted).sum().item(), total + counted.sum().item()
        count += 1
    if count == 0:
        print(f"held out: less than one row of {length} tokens")
        return
    print(f"held out, answers: loss {sums[0] / count:.4f} mtp {sums[1] / count:.4f}; "
          f"the MTP head agrees on {hits / max(total, 1):.3f}")


def read_lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("training needs a CUDA GPU, and PyTorch finds none")
    torch.manual_seed(11)
    torch.set_float32_matmul_precision("high")

    lines, held_out = read_lines(args.data / "train.txt.gz"), read_lines(args.data / "heldout.txt.gz")
    tokenizer = train_tokenizer(lines, CONFIG["vocab_size"])
    rows = encode(tokenizer, lines)
    print(f"{sum(len(ids) for ids, _ in rows)} tokens in {len(rows)} conversations", flush=True)
    model = Model().cuda()
    steps = train(model, rows, args)
    evaluate(model, encode(tokenizer, held_out), args.length)
    export(model, tokenizer, TEMPLATE.read_text(encoding="utf-8"), args.out)
    print(f"{steps} steps, {steps * args.batch * args.length / 1e6:.0f} M tokens: {args.out}")


if __name__ == "__main__":
    main()
