"""How work is told to stop, a batch of it or all."""

from __future__ import annotations

import threading
import weakref

# The main thread never waits longer in one piece. A signal that another thread takes, or that comes
# in the moment before the wait begins, does not end it: Python hears of it only afterwards.
HEARING_SECONDS = 0.5


class StopSignal(threading.Event):
    """An event that sets its followers too; setting a follower leaves the others alone."""

    def __init__(self) -> None:
        super().__init__()
        self._followers: weakref.WeakSet[StopSignal] = weakref.WeakSet()
        self._lock = threading.Lock()

    def follower(self) -> StopSignal:
        """Return a signal for a part of the work, set already where this one is."""
        signal = StopSignal()
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
    stop: StopSignal | None = None


_this_thread = _ThisThread()


def obey(stop: StopSignal | None) -> None:
    """Make this thread's requests end by this signal rather than by the policy's own.

    So one batch of a store can be stopped while the store serves the next: see `Transfers`.
    """
    _this_thread.stop = stop


def obeyed() -> StopSignal | None:
    """Return what `obey` set, to hand it on to threads that this one starts."""
    return _this_thread.stop
