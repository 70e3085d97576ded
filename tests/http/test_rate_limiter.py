"""A rate limit is kept over all threads, and no request body waits longer than it must."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.http.rate_limiter import RateLimiter


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 10**9), st.lists(st.integers(0, 10**7), min_size=1, max_size=20))
def test_the_rate_is_kept_from_the_first_byte_on(rate: int, sizes: list[int]) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, clock)
    sent = 0
    for size in sizes:
        seconds = limiter.reserve(size)
        assert seconds >= 0
        clock.now += seconds
        # What was sent before has had its time; what is sent now may begin.
        assert clock.now - 1000 >= sent / rate - 1e-3
        sent += size
    assert clock.now - 1000 <= sum(sizes[:-1]) / rate + 1e-3


def test_the_first_bytes_do_not_wait() -> None:
    limiter = RateLimiter(1000, Clock())
    assert limiter.reserve(500) == 0
    assert limiter.reserve(500) == pytest.approx(0.5)


def test_a_pause_saves_no_bytes_for_a_burst() -> None:
    clock = Clock()
    limiter = RateLimiter(1000, clock)
    limiter.reserve(500)
    clock.now += 3600
    assert limiter.reserve(1000) == 0
    assert limiter.reserve(1) == pytest.approx(1.0)


def test_threads_share_one_rate() -> None:
    # The clock stands still, so each must be told to wait for all those before it.
    limiter = RateLimiter(1000, lambda: 0.0)
    with ThreadPoolExecutor(8) as threads:
        delays = list(threads.map(limiter.reserve, [100] * 50))
    assert sorted(delays) == [pytest.approx(number / 10) for number in range(50)]
