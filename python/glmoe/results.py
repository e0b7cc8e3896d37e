"""What generate_streaming() and generate_async() give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING

from ._errors import Error
from ._loop import loop_waker

if TYPE_CHECKING:
    from ._glmoe import Logprob, OutputDelta, RequestMetrics, RequestOutput, Stream


class StreamedAnswer:
    """One answer as far as it has come; `*_diff` is what the last piece brought."""

    def __init__(self, pieces: list[StreamPiece]) -> None:
        self._pieces = pieces  # of this answer, not empty

    @property
    def index(self) -> int:
        return self._pieces[-1].answer_index

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def text_diff(self) -> str:
        return str(self._pieces[-1])

    @property
    def token_ids(self) -> list[int]:
        return [token for piece in self._pieces for token in piece.token_ids]

    @property
    def token_ids_diff(self) -> list[int]:
        return self._pieces[-1].token_ids

    @property
    def logprobs(self) -> list[dict[int, Logprob]] | None:
        if self._pieces[0].logprobs is None:
            return None
        return [position for piece in self._pieces for position in piece.logprobs or []]

    @property
    def finish_reason(self) -> str | None:
        return self._pieces[-1].finish_reason

    @property
    def stop_reason(self) -> str | None:
        return self._pieces[-1].stop_reason


class StreamPiece(str):
    """New text of one answer. It is a str, so that it prints as it comes; it also knows its
    tokens, and through `outputs` all that came before."""

    _delta: OutputDelta
    _history: list[StreamPiece]
    _position: int

    @staticmethod
    def _of(delta: OutputDelta, history: list[StreamPiece]) -> StreamPiece:
        piece = StreamPiece(delta.text)
        piece._delta = delta
        piece._history = history
        piece._position = len(history)
        history.append(piece)
        return piece

    @property
    def text(self) -> str:
        return str(self)

    @property
    def answer_index(self) -> int:
        """0 to n-1; `index` is that of str."""
        return self._delta.index

    @property
    def token_ids(self) -> list[int]:
        return self._delta.token_ids

    @property
    def logprobs(self) -> list[dict[int, Logprob]] | None:
        return self._delta.logprobs

    @property
    def finish_reason(self) -> str | None:
        """Set on the answer's last piece; see CompletionOutput.finish_reason."""
        return self._delta.finish_reason

    @property
    def stop_reason(self) -> str | None:
        return self._delta.stop_reason

    @property
    def error(self) -> str | None:
        return self._delta.error

    @property
    def finished(self) -> bool:
        """Whether this is the request's last piece."""
        return self._delta.request_finished

    @property
    def outputs(self) -> list[StreamedAnswer]:
        """The answers that have begun, up to this piece."""
        answers: dict[int, list[StreamPiece]] = {}
        for piece in self._history[: self._position + 1]:
            answers.setdefault(piece.answer_index, []).append(piece)
        return [StreamedAnswer(answers[index]) for index in sorted(answers)]


def pieces(stream: Stream) -> Iterator[StreamPiece]:
    """The pieces of one request; leaving the loop early cancels it."""
    history: list[StreamPiece] = []
    try:
        while (delta := stream.next()) is not None:
            yield StreamPiece._of(delta, history)
    finally:
        stream.cancel()


class RequestResult:
    """A request under way. Await it for its RequestOutput, or iterate over its pieces with
    ``async for``; without an event loop, result() waits. Dropping or cancelling it cancels the
    request."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._output: RequestOutput | None = None

    @property
    def request_id(self) -> int:
        return self._stream.request_id

    @property
    def prompt_token_ids(self) -> list[int]:
        return self._stream.prompt_token_ids

    @property
    def metrics(self) -> RequestMetrics:
        """So far."""
        return self._stream.metrics()

    @property
    def finished(self) -> bool:
        return self._stream.wait_finished(0.0)

    def cancel(self) -> None:
        """The answer ends with finish_reason 'cancelled' and what it has so far."""
        self._stream.cancel()

    abort = cancel

    def result(self, timeout: float | None = None) -> RequestOutput:
        """Waits `timeout` seconds at most; raises TimeoutError, and the request goes on. Ctrl-C
        cancels it."""
        try:
            finished = self._stream.wait_finished(timeout)
        except BaseException:
            self._stream.cancel()
            raise
        if not finished:
            raise TimeoutError(f"request {self.request_id} has not finished in {timeout} s")
        return self._take_output()

    def __await__(self) -> Generator[object, None, RequestOutput]:
        return self._wait().__await__()

    async def aresult(self) -> RequestOutput:
        """The same as awaiting it."""
        return await self._wait()

    async def __aiter__(self) -> AsyncIterator[StreamPiece]:
        loop = asyncio.get_running_loop()
        waker = loop_waker(loop)
        history: list[StreamPiece] = []
        key, event = waker.watch(loop, self._stream)
        try:
            while not self._stream.done():
                event.clear()
                while (delta := self._stream.try_next()) is not None:
                    yield StreamPiece._of(delta, history)
                if not self._stream.done():
                    await event.wait()
        finally:
            waker.forget(loop, key)
            self._stream.cancel()

    async def _wait(self) -> RequestOutput:
        if self._output is None and not self._stream.collect():
            loop = asyncio.get_running_loop()
            waker = loop_waker(loop)
            key, event = waker.watch(loop, self._stream)
            try:
                while not self._stream.collect():
                    await event.wait()
                    event.clear()
            except asyncio.CancelledError:
                self._stream.cancel()
                raise
            finally:
                waker.forget(loop, key)
        return self._take_output()

    def _take_output(self) -> RequestOutput:
        if self._output is None:
            if not self._stream.collect():
                raise Error(f"request {self.request_id} is read by another waiter", "unavailable")
            self._output = self._stream.result()
        return self._output

    def __repr__(self) -> str:
        state = "finished" if self.finished else "running"
        return f"RequestResult(request_id={self.request_id}, {state})"
