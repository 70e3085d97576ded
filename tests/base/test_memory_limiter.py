"""No more bytes are in memory at once than the budget allows."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator_cli.core.base.memory_limiter import MemoryLimiter


class Watched(threading.Condition):
    """A condition that tells when somebody begins to wait, so that no test has to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting.release()
        return super().wait(timeout)

    def someone_waits(self) -> None:
        assert self.waiting.acquire(timeout=30)


@pytest.fixture
def changed() -> Watched:
    return Watched()


@pytest.fixture
def budget(changed: Watched) -> MemoryLimiter:
    return MemoryLimiter(100, changed)


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, threading.Event]:
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, done


def test_what_fits_does_not_wait(budget: MemoryLimiter) -> None:
    assert [budget.acquire(size) for size in (60, 0, 40, 0)] == [60, 0, 40, 0]


def test_what_does_not_fit_waits_until_it_does(budget: MemoryLimiter, changed: Watched) -> None:
    held = [budget.acquire(50), budget.acquire(50)]
    thread, done = in_thread(lambda: budget.acquire(60))
    changed.someone_waits()
    budget.release(held.pop())
    # Fifty are free, and that is not enough.
    changed.someone_waits()
    assert not done.is_set()
    budget.release(held.pop())
    thread.join(30)
    assert done.is_set()


def test_what_is_larger_than_all_passes_alone(budget: MemoryLimiter, changed: Watched) -> None:
    small = budget.acquire(1)
    thread, done = in_thread(lambda: budget.release(budget.acquire(10**9)))
    changed.someone_waits()
    assert not done.is_set()
    budget.release(small)
    thread.join(30)
    assert done.is_set()
    # All of it is back, and no more than all.
    assert budget.acquire(100) == 100
    _, second = in_thread(lambda: budget.acquire(1))
    changed.someone_waits()
    assert not second.is_set()
    budget.release(100)
    assert second.wait(30)


def test_a_large_request_holds_no_more_than_there_is() -> None:
    assert MemoryLimiter(100).acquire(10**9) == 100


def test_everybody_who_fits_goes_on(budget: MemoryLimiter, changed: Watched) -> None:
    held = budget.acquire(100)
    threads = [in_thread(lambda: budget.acquire(30))[0] for _ in range(3)]
    for _ in threads:
        changed.someone_waits()
    budget.release(held)
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_many_threads_never_hold_more_than_the_budget() -> None:
    budget = MemoryLimiter(100)
    lock = threading.Lock()
    in_flight: list[int] = [0]
    most: list[int] = [0]

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(100):
            held = budget.acquire(chance.randrange(130))
            with lock:
                in_flight[0] += held
                most[0] = max(most[0], in_flight[0])
            with lock:
                in_flight[0] -= held
            budget.release(held)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert 0 < most[0] <= 100
    assert budget.acquire(100) == 100
