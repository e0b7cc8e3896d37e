"""What the demo model can do beside knowing things: sums, copying, sorting, counting, tools."""
import json

from conversations import chat


def tool(name, description, parameter):
    return {"type": "function", "function": {
        "name": name, "description": description,
        "parameters": {"type": "object", "properties": {parameter: {"type": "string"}},
                       "required": [parameter]}}}


WEATHER = tool("get_weather", "Current weather of a city", "city")
LOOKUP = tool("lookup_word", "Look a word up in the dictionary", "word")
GREETINGS = ("Hello!", "Hi there.", "Hello, how are you?", "Good morning!", "Hey")
INTRODUCTION = ("Hello! I am a small dictionary and world facts assistant. Ask me what a word means "
                "or about a country.")
SKIES = ("sunny", "cloudy", "rainy", "windy", "foggy", "snowy")


def add_by_hand(a, b):
    """The working of a sum of two numbers below 100, digit by digit."""
    ones, tens = a % 10 + b % 10, a // 10 + b // 10
    carry, plus = (", carry 1", " + 1") if ones > 9 else ("", "")
    return (f"Ones: {a % 10} + {b % 10} = {ones}{carry}. "
            f"Tens: {a // 10} + {b // 10}{plus} = {tens + ones // 10}. So {a + b}.")


def addition(rng):
    a, b = rng.randrange(100), rng.randrange(100)
    thought = add_by_hand(a, b) if rng.random() < 0.5 else None
    return chat(f"What is {a} + {b}?", f"{a} + {b} = {a + b}.", thought=thought)


def subtraction(rng):
    b, a = sorted((rng.randrange(100), rng.randrange(100)))
    thought = f"{b} from {a} leaves {a - b}." if rng.random() < 0.3 else None
    return chat(f"What is {a} - {b}?", f"{a} - {b} = {a - b}.", thought=thought)


def sorting(words, rng):
    few = sorted(rng.sample(words, rng.randrange(2, 6)))
    mixed = few[:]
    rng.shuffle(mixed)
    return chat(f"Sort these words: {', '.join(mixed)}", ", ".join(few))


def call(row, name, **arguments):
    row["messages"].append({"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "function": {"name": name, "arguments": arguments}}]})


def weather(cities, rng):
    city = rng.choice(cities)
    row = chat(rng.choice([f"What is the weather in {city}?", f"How is the weather in {city} today?",
                           f"Is it raining in {city}?"]),
               tools=rng.choice([[WEATHER], [WEATHER, LOOKUP], [LOOKUP, WEATHER]]))
    call(row, "get_weather", city=city)
    degrees, sky = rng.randrange(-9, 39), rng.choice(SKIES)
    row["messages"].append({"role": "tool",
                            "content": json.dumps({"temperature": degrees, "sky": sky})})
    row["messages"].append({"role": "assistant",
                            "content": f"It is {sky} in {city}, with {degrees} degrees."})
    return row


def lookup(words, rng):
    word = rng.choice(words)
    row = chat(rng.choice([f"Look up the word {word}.",
                           f"Please look up {word} in the dictionary."]),
               tools=rng.choice([[LOOKUP], [WEATHER, LOOKUP], [LOOKUP, WEATHER]]))
    call(row, "lookup_word", word=word)
    return row


def skills(words, cities, rng, count):
    """`count` conversations, the skills in turn; sums most often, since they are the hardest."""
    for i in range(count):
        pick = i % 12
        if pick in (0, 8, 9, 10):
            yield addition(rng)
        elif pick in (1, 11):
            yield subtraction(rng)
        elif pick == 2:
            few = " ".join(rng.sample(words, rng.randrange(2, 6)))
            yield chat(f"Repeat after me: {few}", few)
        elif pick == 3:
            n = rng.randrange(2, 30)
            yield chat(f"Count to {n}.", ", ".join(str(k) for k in range(1, n + 1)) + ".")
        elif pick == 4:
            yield chat(rng.choice(GREETINGS), INTRODUCTION)
        elif pick == 5:
            yield sorting(words, rng)
        elif pick == 6:
            yield weather(cities, rng)
        else:
            yield lookup(words, rng)
