"""More requests in flight where that helps, and nowhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from orchestrator_cli.core.base.growth import MOST_THREADS, GrowingExecutor, Growth, Sample

START = Sample(0.0, 0.0, 0)


def feed(growth: Growth, steps: int, cpu: float, rate: Callable[[int], float]) -> int:
    """Let seconds pass, with so much CPU in each and so many requests ended by so many threads."""
    wall, busy, ended = 0.0, 0.0, 0
    for _ in range(steps):
        wall, busy = wall + 1, busy + cpu
        ended += int(rate(growth.threads))
        growth.consider(Sample(wall, busy, ended))
    return growth.threads


def test_where_answers_take_long_the_threads_become_many() -> None:
    assert feed(Growth(START), 10, cpu=0.1, rate=lambda threads: threads * 20) == MOST_THREADS


def test_where_this_process_is_busy_they_stay_few() -> None:
    growth = Growth(START)
    assert feed(growth, 10, cpu=1.0, rate=lambda threads: threads * 1000) == 4
    assert not growth.waits


def test_where_more_bring_nothing_they_stay() -> None:
    # A link that passes forty requests a second, whoever sends them.
    assert feed(Growth(START), 20, cpu=0.1, rate=lambda threads: 40) == 16


def test_never_more_than_asked_for() -> None:
    assert feed(Growth(START, most=10), 10, cpu=0.1, rate=lambda threads: threads * 20) == 10
    assert feed(Growth(START, most=1), 10, cpu=0.1, rate=lambda threads: threads * 20) == 1


def test_a_short_stretch_decides_nothing() -> None:
    growth = Growth(START)
    assert growth.consider(Sample(0.01, 0.0, 100)) == 4
    assert growth.consider(Sample(10.0, 0.0, 3)) == 4
    assert growth.waits


@pytest.mark.parametrize(("most", "reached"), [(32, 32), (2, 2)])
def test_the_executor_starts_the_threads(most: int, reached: int) -> None:
    here, peak = 0, 0
    lock = threading.Lock()
    waiting = threading.Event()

    def request() -> None:
        nonlocal here, peak
        with lock:
            here += 1
            peak = max(peak, here)
        waiting.wait(0.03)
        with lock:
            here -= 1

    deadline = time.monotonic() + 60
    with GrowingExecutor(most, "test", lambda: None) as executor:
        while peak < reached and time.monotonic() < deadline:
            for future in [executor.submit_counted(request) for _ in range(64)]:
                future.result()
    assert peak == reached
