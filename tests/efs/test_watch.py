"""A watch that is told to stop, at any moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from orchestrator_cli.core.efs.watch import StopRequest


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
