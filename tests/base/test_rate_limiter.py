"""A rate limit is kept over all threads, and no request body waits longer than it must."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.base.rate_limiter import RateLimiter, ThrottledReader


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.sleeps.append(seconds)
        self.now += seconds


def make_pace(bytes_per_second: int) -> tuple[RateLimiter, Clock]:
    clock = Clock()
    return RateLimiter(bytes_per_second, clock, clock.sleep), clock


@given(st.integers(1, 10**9), st.lists(st.integers(0, 10**7), min_size=1, max_size=20))
def test_the_rate_is_kept_from_the_first_byte_on(rate: int, sizes: list[int]) -> None:
    pace, clock = make_pace(rate)
    sent = 0
    for size in sizes:
        pace.take(size)
        # What was sent before has had its time; what is sent now may begin.
        assert clock.now - 1000 >= sent / rate - 1e-3
        sent += size
    assert clock.now - 1000 <= sum(sizes[:-1]) / rate + 1e-3


def test_the_first_bytes_do_not_wait() -> None:
    pace, clock = make_pace(1000)
    pace.take(500)
    assert clock.sleeps == []
    pace.take(500)
    assert clock.sleeps == [pytest.approx(0.5)]


def test_a_pause_saves_no_bytes_for_a_burst() -> None:
    pace, clock = make_pace(1000)
    pace.take(500)
    clock.now += 3600
    pace.take(1000)
    assert clock.sleeps == []
    pace.take(1)
    assert clock.sleeps == [pytest.approx(1.0)]


def test_threads_share_one_rate() -> None:
    lock = threading.Lock()
    delays: list[float] = []

    def note(seconds: float) -> None:
        with lock:
            delays.append(seconds)

    # The clock stands still, so each must be told to wait for all those before it.
    pace = RateLimiter(1000, lambda: 0.0, note)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(pace.take, [100] * 50))
    assert sorted(delays) == [pytest.approx(number / 10) for number in range(1, 50)]


@pytest.mark.parametrize(("rate", "size"), [(1, 1024), (10_240, 1024), (10**7, 10**6)])
def test_a_slice_is_a_tenth_of_a_second_and_never_tiny(rate: int, size: int) -> None:
    assert make_pace(rate)[0].slice_bytes == size


# --- bodies ----------------------------------------------------------------------------------


@given(st.binary(max_size=5000), st.lists(st.integers(-1, 3000) | st.none(), max_size=10))
def test_a_body_is_read_whole_in_slices(data: bytes, reads: list[int | None]) -> None:
    pace, clock = make_pace(20_000)
    body = ThrottledReader(data, pace)
    pieces = [body.read(size) for size in reads]
    while piece := body.read(-1):
        pieces.append(piece)
    assert b"".join(pieces) == data
    assert all(len(piece) <= pace.slice_bytes for piece in pieces)
    assert clock.now - 1000 <= len(data) / 20_000 + 1e-3


@pytest.mark.parametrize("size", [None, -1, 3000, 10**9])
def test_one_read_gives_no_more_than_a_slice(size: int | None) -> None:
    pace, _ = make_pace(20_000)
    assert len(ThrottledReader(bytes(5000), pace).read(size)) == pace.slice_bytes == 2000


def test_a_body_keeps_the_rate() -> None:
    pace, clock = make_pace(100_000)
    body = ThrottledReader(bytearray(250_000), pace)
    while body.read(8192):
        pass
    assert clock.now - 1000 == pytest.approx(2.5)


def test_a_body_can_be_sent_again() -> None:
    pace, _ = make_pace(10_000)
    body = ThrottledReader(b"0123456789", pace)
    assert len(body) == 10
    assert body.read(4) == b"0123"
    assert len(body) == 10
    body.seek(0)
    assert body.read() == b"0123456789"
    assert body.read() == b""
