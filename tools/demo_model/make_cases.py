#!/usr/bin/env python3
"""Answers a list of requests with Hugging Face transformers in float32: the tests' references.

    make_cases.py --model models/glm4-moe-demo --out tests/data [--device cuda]

Writes demo_cases.json (request, rendered prompt, its ids, greedy ids and text) and
demo_logits.safetensors (`caseN`: logits [T, V] of the prompt of case N, for three of them).
"""
import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, Glm4MoeForCausalLM

from skills import WEATHER

MAX_NEW_TOKENS = 96
LOGIT_CASES = (1, 2, 12)
QUESTIONS = (
    "What is a lighthouse?", "What is the capital of France?", "What is 17 + 25?",
    "Define happiness.", "Where is Japan?", "Repeat after me: stone river apple",
    "Use garden in a sentence.", "Which country has Lima as its capital?",
    "What does it mean to wander?", "Tell me about Norway.", "Hello!",
    "Sort these words: zebra, apple, moon", "What is a violin?", "What kind of thing is a dog?",
    "Count to 12.", "What languages are spoken in Switzerland?")
THINKING = ("What is 68 + 57?", "What is a volcano?", "What is the capital of Peru?")


def make_requests():
    user = lambda text: {"role": "user", "content": text}
    requests = [dict(messages=[user(q)], enable_thinking=False) for q in QUESTIONS]
    requests += [dict(messages=[user(q)]) for q in THINKING]
    requests.append(dict(messages=[user("What is the weather in Lisbon?")], tools=[WEATHER],
                         enable_thinking=False))
    requests.append(dict(messages=[
        user("What is a piano?"),
        {"role": "assistant", "content": "A piano is a keyboard instrument."},
        user("What is 9 + 8?")], enable_thinking=False))
    return requests


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    tokenizer.chat_template = (args.model / "chat_template.jinja").read_text(encoding="utf-8")
    model = Glm4MoeForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    model = model.to(args.device).eval()
    cases, logits = [], {}
    for number, request in enumerate(make_requests()):
        options = {k: v for k, v in request.items() if k == "enable_thinking"}
        text = tokenizer.apply_chat_template(
            request["messages"], tools=request.get("tools"), tokenize=False,
            add_generation_prompt=True, **options)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        ids = ids.to(args.device)
        with torch.no_grad():
            if number in LOGIT_CASES:
                logits[f"case{number}"] = model(ids).logits[0].float().cpu().contiguous()
            answer = model.generate(ids, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        answer = answer[0, ids.shape[1]:].tolist()
        cases.append(dict(request=request, prompt=text, prompt_ids=ids[0].tolist(),
                          greedy_ids=answer, greedy_text=tokenizer.decode(answer)))
        print(request["messages"][-1]["content"], "->", repr(cases[-1]["greedy_text"]), flush=True)
    (args.out / "demo_cases.json").write_text(json.dumps(cases, indent=1), encoding="utf-8")
    save_file(logits, args.out / "demo_logits.safetensors")


if __name__ == "__main__":
    main()
