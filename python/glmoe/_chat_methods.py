"""LLM's methods for conversations; chat.py has what they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ._arguments import json_of, milliseconds, sampling_list
from ._overload import overload
from ._progress import gather
from .chat import ChatMessage, ChatOutput

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._arguments import SamplingFields
    from ._glmoe import Engine, RequestOutput, SamplingParams


class ChatMethods:
    """The part of LLM that knows messages, tools and the model's chat template."""

    _engine: Engine

    @overload
    def chat(
        self,
        messages: list[dict[str, Any]],
        sampling_params: SamplingParams | None = None,
        *,
        tools: list[dict[str, Any]] | None = None,
        enable_thinking: bool | None = None,
        add_generation_prompt: bool = True,
        chat_template_kwargs: dict[str, Any] | None = None,
        use_tqdm: bool = True,
        priority: int = 0,
        timeout: float | None = None,
        cache_salt: str = "",
        **sampling: Unpack[SamplingFields],
    ) -> ChatOutput: ...

    @overload
    def chat(
        self,
        messages: list[list[dict[str, Any]]],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        tools: list[dict[str, Any]] | None = None,
        enable_thinking: bool | None = None,
        add_generation_prompt: bool = True,
        chat_template_kwargs: dict[str, Any] | None = None,
        use_tqdm: bool = True,
        priority: int = 0,
        timeout: float | None = None,
        cache_salt: str = "",
        **sampling: Unpack[SamplingFields],
    ) -> list[ChatOutput]: ...

    def chat(
        self,
        messages: list[dict[str, Any]] | list[list[dict[str, Any]]],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        tools: list[dict[str, Any]] | None = None,
        enable_thinking: bool | None = None,
        add_generation_prompt: bool = True,
        chat_template_kwargs: dict[str, Any] | None = None,
        use_tqdm: bool = True,
        priority: int = 0,
        timeout: float | None = None,
        cache_salt: str = "",
        **sampling: Unpack[SamplingFields],
    ) -> ChatOutput | list[ChatOutput]:
        """Answers one conversation, or a list of them, through the model's own chat template.

        ``messages`` and ``tools`` have OpenAI's form. Text of users and tools that spells a markup
        token stays text. Reasoning, content and tool calls are taken apart:
        ``output.content``, ``.reasoning``, ``.tool_calls``; ``output.message.to_dict()`` continues
        the conversation. ``enable_thinking`` None: the template's default. The arguments after it
        are those of generate().
        Raises Error (invalid_argument) for bad messages, (unsupported) without a template.
        """
        single = len(messages) == 0 or isinstance(messages[0], dict)
        conversations = [messages] if single else messages
        tools_json = json_of("tools", tools or None)
        kwargs_json = json_of("chat_template_kwargs", chat_template_kwargs or None)
        prompts = [
            self._engine.encode_chat(
                json_of("messages", conversation),
                tools_json,
                add_generation_prompt,
                enable_thinking,
                kwargs_json,
            )
            for conversation in conversations
        ]
        params = sampling_list(sampling_params, dict(sampling))
        streams = self._engine.submit(
            cast("list[Any]", prompts), params, priority, milliseconds(timeout), cache_salt
        )
        outputs = []
        for i, output in enumerate(gather(streams, use_tqdm and not single)):
            skip = params[i if len(params) > 1 else 0].skip_special_tokens
            outputs.append(ChatOutput(output, self._messages(output, tools_json, skip)))
        return outputs[0] if single else outputs

    def _messages(self, output: RequestOutput, tools_json: str, skip: bool) -> list[ChatMessage]:
        messages = []
        for answer in output.outputs:
            parser = self._engine.chat_parser(output.prompt_token_ids, tools_json)
            delta = parser.feed_answer(answer, skip)
            messages.append(ChatMessage._of(delta, answer.finish_reason))
        return messages

    def apply_chat_template(
        self,
        messages: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None = None,
        enable_thinking: bool | None = None,
        add_generation_prompt: bool = True,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> str:
        """The conversation as the prompt's text."""
        return self._engine.render_chat(
            json_of("messages", messages),
            json_of("tools", tools or None),
            add_generation_prompt,
            enable_thinking,
            json_of("chat_template_kwargs", chat_template_kwargs or None),
        )
