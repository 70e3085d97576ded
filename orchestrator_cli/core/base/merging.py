"""Hand what threads make to one reader, one source or several of them merged as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from orchestrator_cli.core.base.cancellation import CancelToken, bind_token

Item = TypeVar("Item")

_MOST_WAITING = 32
# How often a thread that waits for its reader checks whether it is still wanted, and how often the
# reader lets a signal in.
_POLL_SECONDS = 0.2
_END = object()


def merge(
    sources: Sequence[Callable[[], Iterator[Item]]], stop: CancelToken
) -> Generator[Item | Exception]:
    """Yield what the sources yield, each in its own order, and the error that ends one of them.

    Each source runs in a thread. `stop` is set once the caller takes no more, which also ends the
    requests that the sources wait for.
    """
    merged: Handover[Item] = Handover(stop, _MOST_WAITING)

    def run(source: Callable[[], Iterator[Item]]) -> None:
        bind_token(stop)
        merged.run(source)

    try:
        for source in sources:
            threading.Thread(target=run, args=[source], name="merge", daemon=True).start()
        yield from merged.take(len(sources))
    finally:
        stop.set()


def raise_errors(items: Iterable[Item | Exception]) -> Iterator[Item]:
    """Yield the items, and raise an error among them."""
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item


class Handover(Generic[Item]):
    """A queue from several threads to one reader, with a bounded number of items in it."""

    def __init__(self, stop: threading.Event, most_waiting: int) -> None:
        self._stop = stop
        self._queue: queue.Queue[Any] = queue.Queue(most_waiting)

    def run(self, source: Callable[[], Iterator[Item]]) -> None:
        """Hand over what a source yields and the error that ends it, until `stop` is set."""
        try:
            for item in source():
                if not self._put(item):
                    return
        except Exception as error:  # noqa: BLE001 - yielded to the reader
            self._put(error)
        self._put(_END)

    def _put(self, item: object) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def take(self, sources: int = 1) -> Iterator[Item | Exception]:
        """Yield what comes until so many sources have ended."""
        while sources:
            try:
                item = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if item is _END:
                sources -= 1
            else:
                yield item
