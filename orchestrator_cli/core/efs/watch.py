"""Sync repeatedly, and survive outages of S3 and of the mount."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from orchestrator_cli.core.base.cancellation import SIGNAL_POLL_SECONDS
from orchestrator_cli.core.base.errors import InterruptedByUser, OrchestratorError
from orchestrator_cli.core.base.retry import growing_waits
from orchestrator_cli.core.efs.events import SyncSummary

# S3 that is down is asked less often, but never so seldom that a user would wait for it.
LONGEST_PAUSE_FACTOR = 8


class StopRequest:
    """Asks a watch to end. A signal's handler may set it at any moment.

    A handler runs in the midst of what the main thread does, which may be a wait for this very
    request: so there is no lock in it, as there is in threading.Event.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """End the watch after the file in hand."""
        self._is_set = True

    def is_set(self) -> bool:
        """Return True once the watch should end."""
        return self._is_set

    def wait(self, seconds: float) -> None:
        """Wait so long, or until it is set, which is noticed within half a second."""
        end = time.monotonic() + seconds
        while not self._is_set and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SIGNAL_POLL_SECONDS))


def watch(
    one_pass: Callable[[], SyncSummary],
    stop: StopRequest,
    interval_seconds: float,
    on_pass: Callable[[SyncSummary], None],
    on_trouble: Callable[[OrchestratorError], None],
) -> None:
    """Make passes until `stop` is set, with a pause between them.

    A pass that fails as a whole, because the mount or S3 is gone or the credentials are, is told
    once per kind of trouble, and the next comes after a longer pause, up to eight intervals.
    """
    troubled: Iterator[float] | None = None
    trouble = ""
    while not stop.is_set():
        seconds = interval_seconds
        try:
            on_pass(one_pass())
            troubled, trouble = None, ""
        except InterruptedByUser:
            raise
        except OrchestratorError as error:
            longest = interval_seconds * LONGEST_PAUSE_FACTOR
            troubled = troubled or growing_waits(interval_seconds, longest)
            seconds = next(troubled)
            if error.message != trouble:
                trouble = error.message
                on_trouble(error)
        stop.wait(seconds)
