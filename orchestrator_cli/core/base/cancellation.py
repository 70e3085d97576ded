"""Cooperative cancellation: tokens that stop work, and how to wait so that signals are heard."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# The main thread never waits longer in one piece. A signal that another thread takes, or that comes
# in the moment before the wait begins, does not end it: Python hears of it only afterwards.
SIGNAL_POLL_SECONDS = 0.5


class CancelToken(threading.Event):
    """An event that sets its children too; setting a child leaves this one and the others alone."""

    def __init__(self) -> None:
        super().__init__()
        self._children: weakref.WeakSet[CancelToken] = weakref.WeakSet()
        self._callbacks: dict[object, Callable[[], object]] = {}
        # A signal's handler may set it while the same thread holds this.
        self._lock = threading.RLock()

    def child(self) -> CancelToken:
        """Return a token that is set with this one, and at once where this one is set already."""
        child = CancelToken()
        with self._lock:
            self._children.add(child)
            if self.is_set():
                child.set()
        return child

    def add_callback(self, callback: Callable[[], object], /) -> Callable[[], object]:
        """Call this once the token is set, from the thread that sets it.

        It is called at once where the token is set already. Returns a function that removes it.
        """
        handle = object()
        with self._lock:
            self._callbacks[handle] = callback
            is_late = self.is_set()
        if is_late:
            callback()
        return lambda: self._callbacks.pop(handle, None)

    def set(self) -> None:
        """Set this token and its children."""
        with self._lock:
            super().set()
            children = list(self._children)
            callbacks = list(self._callbacks.values())
        for child in children:
            child.set()
        for callback in callbacks:
            callback()


class _ThisThread(threading.local):
    stop: CancelToken | None = None


_this_thread = _ThisThread()


def bind_token(stop: CancelToken | None) -> None:
    """Bind a token to this thread: requests made here check it instead of the policy's own.

    This lets one batch be stopped while its store serves the next: see `TransferEngine`.
    """
    _this_thread.stop = stop


def current_token() -> CancelToken | None:
    """Return what `bind_token` set, to hand it on to threads that this one starts."""
    return _this_thread.stop


def run_cancellable(work: Callable[[], T], seconds: float | None = None) -> T:
    """Run work in a thread of its own where this is the main thread, so that signals are heard.

    For libraries that block and cannot be interrupted. Raises TimeoutError where the work takes
    longer than `seconds`; its thread is then abandoned.
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

    threading.Thread(target=run, name="cancellable", daemon=True).start()
    given_up_at = None if seconds is None else time.monotonic() + seconds
    while not ended.is_set():
        left = SIGNAL_POLL_SECONDS if given_up_at is None else given_up_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        ended.wait(min(left, SIGNAL_POLL_SECONDS))
    if failures:
        raise failures.pop()
    return results.pop()
