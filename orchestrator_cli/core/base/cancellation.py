"""How work is told to stop, a batch of it or all."""

from __future__ import annotations

import threading
import weakref

# The main thread never waits longer in one piece. A signal that another thread takes, or that comes
# in the moment before the wait begins, does not end it: Python hears of it only afterwards.
SIGNAL_POLL_SECONDS = 0.5


class CancelToken(threading.Event):
    """An event that sets its followers too; setting a follower leaves the others alone."""

    def __init__(self) -> None:
        super().__init__()
        self._followers: weakref.WeakSet[CancelToken] = weakref.WeakSet()
        self._lock = threading.Lock()

    def follower(self) -> CancelToken:
        """Return a signal for a part of the work, set already where this one is."""
        signal = CancelToken()
        with self._lock:
            self._followers.add(signal)
            if self.is_set():
                signal.set()
        return signal

    def set(self) -> None:
        """Stop this work and the parts of it."""
        with self._lock:
            super().set()
            followers = list(self._followers)
        for signal in followers:
            signal.set()


class _ThisThread(threading.local):
    stop: CancelToken | None = None


_this_thread = _ThisThread()


def bind_token(stop: CancelToken | None) -> None:
    """Make this thread's requests end by this signal rather than by the policy's own.

    So one batch of a store can be stopped while the store serves the next: see `TransferEngine`.
    """
    _this_thread.stop = stop


def current_token() -> CancelToken | None:
    """Return what `bind_token` set, to hand it on to threads that this one starts."""
    return _this_thread.stop
