"""What LLM.chat() gives: an answer taken apart into reasoning, content and tool calls."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._glmoe import ChatDelta, CompletionOutput, RequestMetrics, RequestOutput


@dataclass
class ToolCall:
    """One call of a function. `arguments` is the JSON text of an object."""

    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")

    def parsed_arguments(self) -> dict[str, Any]:
        """The arguments as Python values. Raises ValueError where an answer that was cut short left
        incomplete JSON."""
        arguments: dict[str, Any] = json.loads(self.arguments)
        return arguments


@dataclass
class ChatMessage:
    """One answer of the assistant. str() is its content."""

    content: str
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str | None = None
    role: str = "assistant"

    def __str__(self) -> str:
        return self.content

    def to_dict(self) -> dict[str, Any]:
        """In OpenAI's form: append it to the conversation's messages."""
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        return message

    @staticmethod
    def _of(delta: ChatDelta, finish_reason: str | None) -> ChatMessage:
        message = ChatMessage(delta.content, delta.reasoning, finish_reason=finish_reason)
        for piece in delta.tool_calls:
            if piece.index == len(message.tool_calls):
                message.tool_calls.append(ToolCall(piece.name, ""))
            message.tool_calls[piece.index].arguments += piece.arguments
        if message.tool_calls and finish_reason == "stop":
            message.finish_reason = "tool_calls"
        return message


class ChatOutput:
    """The answers to one conversation. str() is the first one's content."""

    def __init__(self, request_output: RequestOutput, messages: list[ChatMessage]) -> None:
        self.request_output = request_output
        self.messages = messages  # one an answer, as request_output.outputs

    @property
    def message(self) -> ChatMessage:
        return self.messages[0]

    @property
    def content(self) -> str:
        return self.message.content

    @property
    def reasoning(self) -> str:
        return self.message.reasoning

    @property
    def tool_calls(self) -> list[ToolCall]:
        return self.message.tool_calls

    @property
    def finish_reason(self) -> str | None:
        """As generate()'s, or 'tool_calls' where the answer ended with calls."""
        return self.message.finish_reason

    @property
    def request_id(self) -> int:
        return self.request_output.request_id

    @property
    def outputs(self) -> list[CompletionOutput]:
        """The answers as they came from the model, with their tokens."""
        return self.request_output.outputs

    @property
    def prompt_token_ids(self) -> list[int]:
        return self.request_output.prompt_token_ids

    @property
    def metrics(self) -> RequestMetrics:
        return self.request_output.metrics

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        return f"ChatOutput({self.messages!r})"
