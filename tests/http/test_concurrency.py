"""More requests in flight where that helps, and a fair share of what a server lets through."""

from __future__ import annotations

import heapq
import itertools
import random
import resource
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator_cli.core.http.concurrency import (
    ConcurrencyController,
    open_file_limit,
    raise_open_file_limit,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.cpu = 0.0

    def controller(
        self, max_in_flight: int = 256, known_seconds: float = 0.0
    ) -> ConcurrencyController:
        return ConcurrencyController(
            max_in_flight, lambda: self.now, lambda: self.cpu, known_seconds=known_seconds
        )


def feed(
    clock: Clock,
    controller: ConcurrencyController,
    busy: float,
    rate: float,
    answer_seconds: float = 0.001,
) -> int:
    """Let ten seconds pass in which the process is so busy and so many a second are answered.

    `rate` below 1 is of responses a second for each request in flight: a thousandth of them.
    """
    controller.on_response(0.001)
    ended = 0.0
    for _ in range(1000):
        clock.now += 0.01
        clock.cpu += 0.01 * busy
        ended += 0.01 * (rate if rate >= 1 else rate * 1000 * controller.limit)
        while ended >= 1:
            ended -= 1
            controller.on_response(answer_seconds)
    return controller.limit


@pytest.mark.parametrize(
    ("seconds", "limit"),
    [(0.001, 16), (0.05, 225), (0.1, 256), (0.2, 256), (0.3, 512), (1.5, 512)],
)
def test_what_a_response_has_taken_before_says_how_many_to_begin_with(
    seconds: float, limit: int
) -> None:
    assert Clock().controller(512, known_seconds=seconds).limit == limit


@pytest.mark.parametrize(
    ("seconds", "limit"), [(0.0001, 16), (0.02, 75), (0.05, 225), (0.3, 256), (1.5, 256)]
)
def test_the_first_responses_say_how_many_fit_into_their_time(seconds: float, limit: int) -> None:
    controller = Clock().controller()
    for number in range(16):
        assert controller.limit == 16
        # The first ones wait for each other's handshakes.
        controller.on_response(seconds if number == 15 else 9.0)
    assert controller.limit == limit


def test_nobody_waits_for_a_first_response_that_takes_long() -> None:
    controller = Clock().controller()
    controller.on_no_response(0.0)
    assert controller.limit == 16
    controller.on_no_response(0.1)
    assert controller.limit == 256
    assert not controller.has_response


def test_where_more_bring_more_they_become_many() -> None:
    clock = Clock()
    assert feed(clock, clock.controller(512), busy=0.1, rate=0.02, answer_seconds=0.02) == 256


def test_where_answers_come_too_quickly_for_many_they_stay_few() -> None:
    # As on a busy machine, whose other work is why more in flight seem to bring more.
    clock = Clock()
    assert feed(clock, clock.controller(), busy=0.1, rate=0.02, answer_seconds=0.001) == 16


def test_where_this_process_is_busy_they_stay_few() -> None:
    clock = Clock()
    assert feed(clock, clock.controller(), busy=0.9, rate=0.5) == 16


def test_where_more_bring_nothing_they_stay() -> None:
    clock = Clock()
    assert feed(clock, clock.controller(), busy=0.1, rate=200, answer_seconds=0.02) == 32


def test_there_are_never_more_than_asked_for() -> None:
    clock = Clock()
    assert feed(clock, clock.controller(10), busy=0.1, rate=0.02, answer_seconds=0.02) == 10
    assert clock.controller(1).limit == 1


def test_a_server_that_says_slow_down_is_sent_half_as_many_once() -> None:
    clock = Clock()
    controller = clock.controller()
    for _ in range(16):
        controller.on_response(0.05)
    clock.now += 0.1
    for _ in range(50):
        controller.on_throttled(0.05)
    assert controller.limit == 112
    # What was begun before does not count, and what comes later halves them again.
    for _ in range(6):
        clock.now += 0.1
        for _ in range(10):
            controller.on_throttled(0.05)
    assert controller.limit <= 56


def test_then_requests_begin_at_a_pace() -> None:
    clock = Clock()
    controller = clock.controller()
    assert controller.start_delay() == 0
    for _ in range(40):
        clock.now += 0.025
        controller.on_response(0.001)
    controller.on_throttled(0.001)
    begun = 0
    while clock.now < 2:
        clock.now += controller.start_delay()
        begun += controller.start_delay() == 0
    assert 30 <= begun <= 60


class Server:
    """Lets so many through a second: in any tenth of a second, or in each second of its clock."""

    def __init__(self, rate: int, windowed: bool) -> None:
        self._rate = rate
        self._windowed = windowed
        self._tokens = rate / 10
        self._at = 0.0

    def admits(self, now: float) -> bool:
        if self._windowed:
            if int(now) != int(self._at):
                self._tokens = float(self._rate)
        else:
            self._tokens = min(self._rate / 10, self._tokens + (now - self._at) * self._rate)
        self._at = now
        admitted = self._tokens >= 1
        self._tokens -= admitted
        return admitted


class Client:
    """Sends files to a server, as the loop does, and refused ones once more a moment later."""

    def __init__(self, world: World, files: int) -> None:
        self._world = world
        self._controller = world.clock.controller()
        self._files = files
        self._waiting = 0
        self._in_flight = 0
        self._paces = False
        self.left = files

    def pump(self) -> None:
        while (self._files or self._waiting) and self._in_flight < self._controller.limit:
            delay = 0.0 if self._paces else self._controller.start_delay()
            if self._paces or delay:
                if delay:
                    self._paces = True
                    self._world.later(delay, self._paced)
                return
            if self._waiting:
                self._waiting -= 1
            else:
                self._files -= 1
            self._in_flight += 1
            self._world.later(self._world.latency * self._world.random.uniform(0.8, 1.2), self._end)

    def _paced(self) -> None:
        self._paces = False
        self.pump()

    def _end(self) -> None:
        self._in_flight -= 1
        if self._world.server.admits(self._world.clock.now):
            self._controller.on_response(self._world.latency)
            self.left -= 1
        else:
            self._controller.on_throttled(self._world.latency)
            self._world.later(self._world.random.uniform(0, 0.5), self._again)
        self.pump()

    def _again(self) -> None:
        self._waiting += 1
        self.pump()


class World:
    def __init__(self, server: Server, latency: float) -> None:
        self.clock = Clock()
        self.server = server
        self.latency = latency
        self.random = random.Random(8)
        self._events: list[tuple[float, int, Callable[[], Any]]] = []
        self._numbers = itertools.count()

    def later(self, seconds: float, what: Callable[[], Any]) -> None:
        heapq.heappush(self._events, (self.clock.now + seconds, next(self._numbers), what))

    def run(self, until: Callable[[], bool]) -> float:
        while self._events and not until():
            self.clock.now, _, what = heapq.heappop(self._events)
            what()
        return self.clock.now


@pytest.mark.parametrize("latency", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("windowed", [False, True])
def test_clients_share_what_a_server_lets_through(latency: float, windowed: bool) -> None:
    files, rate = 1000, 300
    world = World(Server(rate, windowed), latency)
    clients = [Client(world, files) for _ in range(8)]
    for client in clients:
        world.later(world.random.uniform(0, 0.1), client.pump)
    world.run(lambda: any(not client.left for client in clients))
    done = [files - client.left for client in clients]
    # A server that counts by the second lets through whoever comes first in it.
    assert min(done) >= (0.4 if windowed else 0.5) * sum(done) / len(done)
    seconds = world.run(lambda: not any(client.left for client in clients))
    assert not any(client.left for client in clients)
    assert len(clients) * files / seconds >= (0.8 if windowed else 0.85) * rate


def test_open_files_bound_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for allowed, most in ((1024, 320), (70, 2), (10, 1), (resource.RLIM_INFINITY, 1 << 20)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, allowed=allowed: (allowed, allowed))
        assert open_file_limit() == most


@pytest.mark.parametrize(
    ("allowed", "most", "raised"),
    [
        (1024, 4096, 1600),
        (256, 1000, 1000),
        (2000, 4096, None),
        (1024, resource.RLIM_INFINITY, 1600),
    ],
)
def test_more_files_may_be_opened_as_far_as_the_system_allows(
    monkeypatch: pytest.MonkeyPatch, allowed: int, most: int, raised: int | None
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, most))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    raise_open_file_limit(512)
    assert limits == ([] if raised is None else [(raised, most)])
