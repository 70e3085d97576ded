"""Wait for events on the sockets that libcurl uses, and on its idle connections."""

from __future__ import annotations

import contextlib
import os
import selectors
import time
import weakref

import pycurl

_MASKS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}
# How often libcurl checks which of its idle connections can be reused.
_CURL_LOOKS_SECONDS = 1.0
# A connection that was checked this recently is not checked again.
_LATELY_SECONDS = 0.01


class SocketWatch:
    """The sockets and the timer of one multi handle. Only `wake` is for other threads.

    Idle connections stay watched. If one becomes readable, the peer has closed it or has sent
    unsolicited data, which libcurl would take for the next response, as it checks idle connections
    only once a second. Until then `is_tainted` says so.
    """

    def __init__(self) -> None:
        self.timer_at: float | None = None
        self._selector = selectors.DefaultSelector()
        # The selector's map could tell, but only by an exception where it has none.
        self._watched: set[int] = set()
        self._idle: set[int] = set()
        self._tainted_until = 0.0
        self._looked_at = 0.0
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        ends = self._wake_reader, self._wake_writer
        self._close_pipe = weakref.finalize(self, _close_descriptors, *ends)
        self._close_pipe.atexit = False

    def watch_socket(self, what: int, descriptor: int, *_: object) -> None:
        """Watch a socket as libcurl's socket callback asks."""
        if what == pycurl.POLL_REMOVE:
            self._idle.add(descriptor)
            self._watch(descriptor, selectors.EVENT_READ)
            return
        if descriptor in self._idle:
            self._idle.discard(descriptor)
            self._watch_again(descriptor, _MASKS[what])
        else:
            self._watch(descriptor, _MASKS[what])

    def set_timer(self, milliseconds: int) -> None:
        """Set the time as libcurl's timer callback asks."""
        self.timer_at = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Wait at most so long and return libcurl's sockets that are ready, with their events."""
        ready = []
        for key, events in self._selector.select(seconds):
            if key.fd == self._wake_reader:
                self._drain_pipe()
            elif key.fd in self._idle:
                self._forget(key.fd)
                self._tainted_until = time.monotonic() + _CURL_LOOKS_SECONDS + _LATELY_SECONDS
            else:
                ready.append((key.fd, _action(events)))
        self._looked_at = time.monotonic()
        return ready

    def is_tainted(self, *, only_idle: bool) -> bool:
        """Return True while an idle connection may be one that must not be used again.

        `only_idle`: no other is in use, so that nobody has waited for any of them lately.
        """
        if only_idle or time.monotonic() - self._looked_at > _LATELY_SECONDS:
            # Other events stay pending.
            self.wait(0)
        return time.monotonic() < self._tainted_until

    def wake(self) -> None:
        """Let `wait` return now. May be called from any thread."""
        with contextlib.suppress(OSError):
            os.write(self._wake_writer, b"\0")

    def close(self) -> None:
        """Stop watching; the sockets are libcurl's."""
        # A thread may still call `wake`, when the number is another file's.
        self._wake_writer = -1
        self._selector.close()
        self._close_pipe()

    def _watch(self, descriptor: int, mask: int) -> None:
        try:
            if descriptor in self._watched:
                self._selector.modify(descriptor, mask)
            else:
                self._selector.register(descriptor, mask)
                self._watched.add(descriptor)
        except (OSError, ValueError):
            # What is closed already cannot be watched, and need not be.
            self._forget(descriptor)

    def _watch_again(self, descriptor: int, mask: int) -> None:
        """Watch an idle connection again; it may have been closed and its number reused."""
        if mask != selectors.EVENT_READ:
            # The system has forgotten a closed one, and raises.
            with contextlib.suppress(OSError, ValueError, KeyError):
                self._selector.modify(descriptor, mask)
                return
        self._forget(descriptor)
        self._watch(descriptor, mask)

    def _forget(self, descriptor: int) -> None:
        self._idle.discard(descriptor)
        self._watched.discard(descriptor)
        with contextlib.suppress(KeyError, OSError, ValueError):
            self._selector.unregister(descriptor)

    def _drain_pipe(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_reader, 4096):
                pass


def _action(events: int) -> int:
    readable = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
    return readable | (pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0)


def _close_descriptors(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
