"""Questions about countries, from the World Factbook's JSON files (one a country)."""
import json
import re

from conversations import chat

MAX_VALUE = 260        # characters of a fact
MAX_BACKGROUND = 900   # characters of a country's introduction
# Question, answer, path of the fact in a country's file.
FACTS = (
    ("What is the capital of {0}?", "The capital of {0} is {1}.",
     ("Government", "Capital", "name")),
    ("Where is {0}?", "{0} is in {1}.", ("Geography", "Location")),
    ("What languages are spoken in {0}?", "Languages of {0}: {1}.",
     ("People and Society", "Languages")),
    ("How large is {0}?", "{0} covers {1}.", ("Geography", "Area", "total")),
    ("What is the climate of {0} like?", "The climate of {0} is {1}.", ("Geography", "Climate")),
    ("What is the population of {0}?", "The population of {0} is {1}.",
     ("People and Society", "Population")),
    ("What does {0} produce?", "{0} produces {1}.", ("Economy", "Agriculture - products")),
    ("What kind of government does {0} have?", "{0} is a {1}.",
     ("Government", "Government type")),
    ("What is the terrain of {0} like?", "The terrain of {0} is {1}.", ("Geography", "Terrain")),
    ("What resources does {0} have?", "Natural resources of {0}: {1}.",
     ("Geography", "Natural resources")),
)


def dig(node, path):
    """The text at a path of keys, or an empty string; white space made single."""
    for key in path:
        node = node.get(key, {}) if isinstance(node, dict) else {}
    text = node.get("text", "") if isinstance(node, dict) else ""
    return re.sub(r"\s+", " ", text).strip()


def factbook(folder):
    """Each fact six times (once with a thought before it), each introduction four times."""
    for path in sorted(folder.glob("*/*.json")):
        country = json.loads(path.read_text(encoding="utf-8"))
        name = dig(country, ("Government", "Country name", "conventional short form"))
        if not name or name == "none":
            continue
        for question, answer, where in FACTS:
            value = dig(country, where)
            if where[-1] == "Population":
                value = value.split(" (")[0]
            value = value.rstrip(".;").split(";")[0]
            if not value or len(value) > MAX_VALUE:
                continue
            for n in range(6):
                thought = f"This is a question about {name}." if n == 0 else None
                yield chat(question.format(name), answer.format(name, value), thought=thought)
            if where[-2:] == ("Capital", "name"):
                yield chat(f"Which country has {value} as its capital?",
                           f"{value} is the capital of {name}.")
        background = dig(country, ("Introduction", "Background"))
        for _ in range(4 if background else 0):
            yield chat(f"Tell me about {name}.", background[:MAX_BACKGROUND])
