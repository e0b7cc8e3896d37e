#!/usr/bin/env python3
"""Times Hugging Face transformers' Glm4MoeForCausalLM: the table of `glmoe bench latency`.

    transformers_latency.py [--layers 6] [--batch_size 1,8,32,128] [--context 1024]
                            [--prompt_len 512,2048,8192] [--steps 24] [--json]

GLM-4.5-Air's shapes with so many layers, random weights, bfloat16, on the first GPU. Needs torch
and transformers. Decode: a step of the whole batch with `context` tokens in the cache, the median
of `steps`; prefill: the first token's logits of one prompt, the median of five. Both include the
host, as a caller of the library meets it.
"""
import argparse
import json
import statistics
import time


def numbers(text):
    return [int(part) for part in text.split(",")]


def make_model(num_layers):
    import torch
    from transformers import Glm4MoeConfig, Glm4MoeForCausalLM
    config = Glm4MoeConfig(
        vocab_size=151552, hidden_size=4096, intermediate_size=10944,
        num_hidden_layers=num_layers, num_attention_heads=96, num_key_value_heads=8, head_dim=128,
        partial_rotary_factor=0.5, n_routed_experts=128, n_shared_experts=1, num_experts_per_tok=8,
        moe_intermediate_size=1408, first_k_dense_replace=1, n_group=1, topk_group=1,
        norm_topk_prob=True, routed_scaling_factor=1.0, use_qk_norm=False, attention_bias=True,
        max_position_embeddings=131072, rms_norm_eps=1e-5, tie_word_embeddings=False)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Glm4MoeForCausalLM(config)
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(0.0, 0.02)
    return model


def timed(work):
    import torch
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def decode_ms(model, batch, context, steps):
    """The median step of `batch` sequences after `context` tokens each."""
    import torch
    vocab = model.config.vocab_size
    ids = torch.randint(vocab, (batch, context), device="cuda")
    cache = None
    # The prompt by parts: what it takes is not measured here, and memory for all of it is not had.
    for part in ids.split(max(1, 8192 // batch), dim=1):
        out = model(part, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
    token = out.logits[:, -1:].argmax(-1)
    times = []

    def step():
        nonlocal token
        logits = model(token, past_key_values=cache, use_cache=True).logits
        token = logits[:, -1:].argmax(-1)

    for _ in range(4):  # warm-up
        step()
    for _ in range(steps):
        times.append(timed(step))
    return statistics.median(times) * 1e3


def prefill_ms(model, length):
    import torch
    times = []
    for _ in range(7):
        ids = torch.randint(model.config.vocab_size, (1, length), device="cuda")
        times.append(timed(lambda: model(ids, use_cache=True, logits_to_keep=1).logits[:, -1]
                           .argmax(-1).item()))
    return statistics.median(times[2:]) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--batch_size", type=numbers, default=[1, 8, 32, 128])
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--prompt_len", type=numbers, default=[512, 2048, 8192])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    import torch
    import transformers
    model = make_model(options.layers)
    rows = []
    with torch.inference_mode():
        for batch in options.batch_size:
            rows.append({"name": f"decode batch {batch} context {options.context}",
                         "ms": decode_ms(model, batch, options.context, options.steps),
                         "tokens": batch})
        for length in options.prompt_len:
            rows.append({"name": f"prefill {length}", "ms": prefill_ms(model, length),
                         "tokens": length})
    head = {"device": torch.cuda.get_device_name(0), "num_layers": options.layers,
            "library": f"transformers {transformers.__version__}, torch {torch.__version__}"}
    if options.json:
        print(json.dumps({**head, "rows": rows}))
        return
    print(f"{head['library']} on {head['device']}, {options.layers} layers")
    for row in rows:
        print(f"{row['name']:<36} {row['ms'] * 1e3:11.1f} us "
              f"{row['tokens'] / row['ms'] * 1e3:10.0f} tokens/s")


if __name__ == "__main__":
    main()
