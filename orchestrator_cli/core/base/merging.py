"""Merge what several iterators yield, in the order in which it comes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from orchestrator_cli.core.base.cancellation import CancelToken, bind_token

Item = TypeVar("Item")

_MOST_WAITING = 32
# How often a thread that waits for its reader checks whether it is still wanted, and how often the
# reader lets a signal in.
_POLL_SECONDS = 0.2


def merge(
    sources: Sequence[Callable[[], Iterator[Item]]], stop: CancelToken
) -> Iterator[Item | Exception]:
    """Yield what the sources yield, each in its own order, and the error that ends one of them.

    Each source runs in a thread. `stop` is set once the caller takes no more, which also ends the
    requests that the sources wait for.
    """
    merged: _Merged[Item] = _Merged(stop)
    try:
        for source in sources:
            threading.Thread(target=merged.run, args=[source], name="merge", daemon=True).start()
        yield from merged.take(len(sources))
    finally:
        stop.set()


class _Merged(Generic[Item]):
    """A queue from several threads to one reader; None marks the end of a source."""

    def __init__(self, stop: CancelToken) -> None:
        self._stop = stop
        self._queue: queue.Queue[Item | Exception | None] = queue.Queue(_MOST_WAITING)

    def run(self, source: Callable[[], Iterator[Item]]) -> None:
        bind_token(self._stop)
        try:
            for item in source():
                self._put(item)
                if self._stop.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - yielded to the reader
            self._put(error)
        self._put(None)

    def _put(self, item: Item | Exception | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return

    def take(self, sources: int) -> Iterator[Item | Exception]:
        while sources:
            try:
                item = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if item is None:
                sources -= 1
            else:
                yield item
