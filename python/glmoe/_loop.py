"""Engine and asyncio: an event loop is woken through a descriptor, so that no thread waits and the
engine's thread needs no GIL."""

from __future__ import annotations

import asyncio
import itertools
import weakref

from ._glmoe import Stream, Waker

_keys = itertools.count()
_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWaker] = (
    weakref.WeakKeyDictionary()
)


class LoopWaker:
    """The streams that one event loop waits for. Used in that loop's thread alone."""

    def __init__(self) -> None:
        self._waker = Waker()
        self._events: dict[int, asyncio.Event] = {}

    def watch(self, loop: asyncio.AbstractEventLoop, stream: Stream) -> tuple[int, asyncio.Event]:
        """An event that is set whenever `stream` may have something to read, and its key."""
        if not self._events:  # watched only while there is something to wait for
            loop.add_reader(self._waker.fileno(), self._on_ready)
        key, event = next(_keys), asyncio.Event()
        self._events[key] = event
        stream.notify(self._waker, key)
        return key, event

    def forget(self, loop: asyncio.AbstractEventLoop, key: int) -> None:
        del self._events[key]
        if not self._events and not loop.is_closed():
            loop.remove_reader(self._waker.fileno())

    def _on_ready(self) -> None:
        for key in self._waker.take():
            event = self._events.get(key)
            if event is not None:
                event.set()


def loop_waker(loop: asyncio.AbstractEventLoop) -> LoopWaker:
    waker = _loops.get(loop)
    if waker is None:
        waker = _loops[loop] = LoopWaker()
    return waker
