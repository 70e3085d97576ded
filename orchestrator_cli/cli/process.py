"""The process itself: its streams, its signals, its exit code."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from typing import NoReturn, TextIO

from orchestrator_cli.core.base.descriptors import WaitingWriter, occupy_closed_descriptors

# More than metadata.json ever has.
_LONGEST_LINE_BYTES = 1024 * 1024


def prepare_streams() -> None:
    """Make standard output and error fit to write any name to, whatever they are.

    What is written to a closed standard output fails; to a closed standard error it is lost.
    """
    occupy_closed_descriptors()
    sys.stdout = sys.stdout or _open_closed(1)
    sys.stderr = sys.stderr or _open_closed(2)
    # A line that an interruption finds half written is kept in a buffer that holds all of it.
    sys.stdout = _waiting_stream(sys.stdout, _LONGEST_LINE_BYTES, "standard output")
    sys.stderr = _waiting_stream(sys.stderr, io.DEFAULT_BUFFER_SIZE, "standard error")


def _open_closed(descriptor: int) -> TextIO:
    # Its descriptor outlives it, for the stream that takes its place.
    raw = io.FileIO(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")


def _waiting_stream(stream: TextIO, buffer_bytes: int, name: str) -> TextIO:
    """Return a stream that waits where its descriptor is non-blocking, and knows any name."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    raw = WaitingWriter(stream.fileno(), name)
    return io.TextIOWrapper(
        io.BufferedWriter(raw, buffer_bytes),
        encoding=stream.encoding,
        # A name that the terminal's encoding lacks must not stop a command.
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
    )


_interrupted = threading.Event()


def was_interrupted() -> bool:
    """Return True once a signal has interrupted the command, whatever error that came out as.

    Libraries in C make errors of their own of a KeyboardInterrupt in what they call back.
    """
    return _interrupted.is_set()


def prepare_signals() -> None:
    """Treat SIGTERM and SIGHUP as Ctrl-C; a second Ctrl-C ends at once."""
    _interrupted.clear()

    def interrupt(*_: object) -> None:
        _interrupted.set()
        # A second Ctrl-C must not wait for anything, not even for the words about the first.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise KeyboardInterrupt

    # Not in a thread, as when the function is called from an embedding program.
    with contextlib.suppress(ValueError):
        # What is ignored, as in the background of a script, stays so.
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, interrupt)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)


def flush_and_exit(code: int) -> NoReturn:
    """Write the remaining output and end."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # Python would try it again, and make exit code 120 of that.
        end_at_once(code)
    if code:
        # Threads may still wait for a response; nobody needs it any more.
        end_at_once(code)
    sys.exit(code)


def end_at_once(code: int) -> NoReturn:
    """Exit without waiting for threads, and without flushing standard output."""
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)
