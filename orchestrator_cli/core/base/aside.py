"""Work in a thread of its own, so that signals are heard while it waits, or that it may be left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from orchestrator_cli.core.base.cancellation import SIGNAL_POLL_SECONDS

T = TypeVar("T")


def aside(work: Callable[[], T], seconds: float | None = None) -> T:
    """Do work so that a signal ends the waiting for its result.

    Signals are heard in the main thread, and one that another thread takes ends no wait of it.
    Raises TimeoutError where the work takes longer than `seconds`; it is left to itself then.
    """
    if seconds is None and threading.current_thread() is not threading.main_thread():
        return work()
    ended = threading.Event()
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
            failures.append(error)
        ended.set()

    threading.Thread(target=run, name="aside", daemon=True).start()
    given_up_at = None if seconds is None else time.monotonic() + seconds
    while not ended.is_set():
        left = SIGNAL_POLL_SECONDS if given_up_at is None else given_up_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        ended.wait(min(left, SIGNAL_POLL_SECONDS))
    if failures:
        raise failures.pop()
    return results.pop()
