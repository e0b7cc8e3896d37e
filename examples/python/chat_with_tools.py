"""A conversation in which the model calls a function of ours."""

from __future__ import annotations

from typing import Any

from demo import MODEL

from glmoe import LLM

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Current weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


def get_weather(city: str) -> str:
    return f"It is 21 degrees and sunny in {city}."


with LLM(model=MODEL) as llm:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "What is the weather like in Paris?"}
    ]
    answer = llm.chat(messages, tools=TOOLS, enable_thinking=False, temperature=0.0)
    messages.append(answer.message.to_dict())
    for call in answer.tool_calls:
        print(f"the model calls {call.name}({call.arguments})")
        result = get_weather(**call.parsed_arguments())
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    if answer.tool_calls:
        answer = llm.chat(messages, tools=TOOLS, enable_thinking=False, temperature=0.0)
    print(answer)
