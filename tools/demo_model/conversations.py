"""A conversation as the training data holds it: {"messages": [...], "tools": [...]?}."""


def chat(*turns, thought=None, tools=None):
    """User and assistant turns by turns; `thought` is the reasoning before the last answer."""
    messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": text}
                for i, text in enumerate(turns)]
    if thought:
        messages[-1]["reasoning_content"] = thought
    row = {"messages": messages}
    if tools:
        row["tools"] = tools
    return row


def join_conversations(singles, rng):
    """Longer conversations of two to eight single questions, one for every ten of them."""
    for _ in range(len(singles) // 10):
        chosen = rng.sample(singles, min(len(singles), rng.randrange(2, 9)))
        yield chat(*[m["content"] for row in chosen for m in row["messages"]])


def article(word):
    return "an" if word[:1].lower() in "aeiou" else "a"


def sentence(text):
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
