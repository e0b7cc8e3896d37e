"""Questions about words, from WordNet's data files: definition, synonym, example, category."""
import re

from conversations import article, chat, sentence

PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
MAX_DEFINITION = 220  # characters


def read_synsets(folder):
    """Yields (part, words, definition, examples, hypernym offsets, offset); format: wndb(5WN)."""
    for part, name in PARTS.items():
        with open(folder / f"data.{name}", encoding="latin-1") as lines:
            for line in lines:
                if line.startswith("  "):  # the licence at the head of the file
                    continue
                head, gloss = line.rstrip().split(" | ", 1)
                fields = head.split()
                count = int(fields[3], 16)
                words = [re.sub(r"\((a|p|ip)\)$", "", word).replace("_", " ")
                         for word in fields[4:4 + 2 * count:2]]
                num_pointers = int(fields[4 + 2 * count])
                pointers = fields[5 + 2 * count:5 + 2 * count + 4 * num_pointers]
                up = [pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] == "@"]
                examples = re.findall(r'"([^"]+)"', gloss)
                definition = re.split(r';\s*"', gloss)[0].strip().rstrip(";").strip()
                yield part, words, definition, examples, up, fields[0]


def read_ranks(folder):
    """Word -> how often the sense files saw it tagged: common words come first."""
    rank = {}
    with open(folder / "cntlist.rev", encoding="latin-1") as lines:
        for line in lines:
            key, _, count = line.split()
            word = key.split("%")[0].replace("_", " ")
            rank[word] = rank.get(word, 0) + int(count)
    return rank


def common_words(folder):
    """Plain words of at least three letters, the most frequent first."""
    rank = read_ranks(folder)
    return [w for w in sorted(rank, key=rank.get, reverse=True) if w.isalpha() and len(w) > 2]


def questions(part, word):
    return {
        "n": [f"What is {article(word)} {word}?", f"Define {word}.", f"What does {word} mean?"],
        "v": [f"What does it mean to {word}?", f"Define the verb {word}.",
              f"What does {word} mean?"],
        "a": [f"What does {word} mean?", f"Define the adjective {word}."],
        "r": [f"What does {word} mean?", f"Define the adverb {word}."],
    }[part]


def answer(part, word, definition):
    if part == "n" and not word[:1].isupper() \
            and re.match(r"(a|an|the|any|one|some\w*) ", definition):
        return sentence(f"{article(word).capitalize()} {word} is {definition}")
    if part == "v":
        return sentence(f"To {word} means to {definition}")
    return sentence(f"{word[:1].upper() + word[1:]} means {definition}")


def dictionary(folder, rng):
    """Conversations about the first sense of each word; more of them about common words."""
    rank = read_ranks(folder)
    synsets = list(read_synsets(folder))
    by_offset = {(part, offset): words for part, words, _, _, _, offset in synsets}
    seen = set()
    for part, words, definition, examples, up, _ in synsets:
        word = words[0]
        first = (word, part) not in seen
        seen.add((word, part))
        if not first or len(definition) > MAX_DEFINITION:
            continue
        common = rank.get(word, 0)
        ask, say = questions(part, word), answer(part, word, definition)
        for question in ask if common else [rng.choice(ask)]:
            thought = f"The user wants the meaning of {word}." if rng.random() < 0.2 else None
            yield chat(question, say, thought=thought)
        if not common:
            continue
        if len(words) > 1:
            yield chat(f"Give me a synonym of {word}.", f"A synonym of {word} is {words[1]}.")
            yield chat(f"Which words mean the same as {word}?",
                       f"Words close to {word}: {', '.join(words[1:4])}.")
        if examples:
            yield chat(f"Use {word} in a sentence.", sentence(examples[0]))
            yield chat(ask[0], say, "Can you give an example?", sentence(examples[0]))
        kind = by_offset.get(("n", up[0])) if part == "n" and up else None
        if kind:
            yield chat(f"What kind of thing is {article(word)} {word}?",
                       f"{article(word).capitalize()} {word} is a kind of {kind[0]}.")
