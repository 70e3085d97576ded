"""A watch that is told to stop, at any moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.efs.events import SyncSummary
from orchestrator_cli.core.efs.watch import StopRequest, watch


def at_line(number: int, strike: Callable[[], None]) -> Callable[..., Any]:
    """Return a trace function that strikes once, as a signal does, between two lines."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == number:
                strike()
        return trace

    return trace


@pytest.mark.parametrize("line", range(1, 40))
def test_a_signal_in_the_midst_of_a_pause_ends_it(line: int) -> None:
    """The handler of a signal runs between any two steps of the thread that waits."""
    stop = StopRequest()

    def pause() -> None:
        sys.settrace(at_line(line, stop.set))
        stop.wait(0.02)
        sys.settrace(None)

    waiting = threading.Thread(target=pause, daemon=True)
    waiting.start()
    waiting.join(20)
    assert not waiting.is_alive()


def test_a_pause_ends_at_once_where_the_signal_came_before() -> None:
    stop = StopRequest()
    stop.set()
    stop.wait(3600)
    assert stop.is_set()


class CountedPauses(StopRequest):
    """Ends the watch after so many pauses, which take no time."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        self.seconds: list[float] = []

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self._count:
            self.set()


def test_a_trouble_that_lasts_is_told_once_and_again_after_a_pass_that_went_well() -> None:
    passes = iter([*"aaaaab", None, "b", None])
    told: list[str] = []
    stop = CountedPauses(9)

    def one_pass() -> SyncSummary:
        trouble = next(passes)
        if trouble is not None:
            raise UnavailableError(trouble)
        return SyncSummary()

    def on_trouble(error: OrchestratorError) -> None:
        told.append(error.message)

    watch(one_pass, stop, 10, lambda summary: told.append("well"), on_trouble)
    assert told == ["a", "b", "well", "b", "well"]
    *_, last, well, again, end = stop.seconds
    assert max(stop.seconds) <= 80
    assert (last, well, end) == (80, 10, 10)
    assert again < last
