"""Many tasks go on at once in one thread, taken one by one, and end together where one fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from threading import Event
from typing import Any

import pytest

from orchestrator_cli.core.http.curl.loop import CurlLoop
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.proxy import InvalidProxyError
from orchestrator_cli.core.http.transport import (
    Cancelled,
    InvalidRequestError,
    Request,
    Response,
    Sleep,
    Task,
    TransportError,
)
from tests.http.servers import Stop, load_server, refusing_port, wait_until
from tests.support.servers.scripted import Peer, scripted, serve_on


@contextmanager
def opened_loop(**settings: Any) -> Iterator[CurlLoop]:
    with closing(CurlLoop(ClientOptions(), **settings)) as loop:
        yield loop


def get(url: str) -> Task[bytes]:
    response: Response = yield Request("GET", url)
    return response.body


class Source:
    """Tasks that are counted as they are taken."""

    def __init__(self, url: str, count: int) -> None:
        self._tasks = iter([get(f"{url}/{number}") for number in range(count)])
        self.taken = 0

    def __iter__(self) -> Iterator[Task[bytes]]:
        for task in self._tasks:
            self.taken += 1
            yield task


def test_every_task_returns_what_it_was_sent() -> None:
    with load_server() as server, opened_loop() as loop:
        found = list(loop.run(get(f"{server.url}/{number}") for number in range(500)))
    assert sorted(found) == sorted(b"/%d" % number for number in range(500))
    assert server.connections <= 256


def test_no_tasks_give_no_results() -> None:
    with opened_loop() as loop:
        assert list(loop.run([])) == []
        assert list(loop.map_ordered([])) == []


def test_a_task_may_send_nothing() -> None:
    def nothing(number: int) -> Task[int]:
        yield from ()
        return number

    with opened_loop() as loop:
        results = loop.run(nothing(number) for number in range(1000))
        assert sorted(results) == list(range(1000))


def test_a_task_may_send_one_request_after_the_other() -> None:
    def many(url: str) -> Task[list[bytes]]:
        found = []
        for number in range(5):
            response = yield Request("PUT", f"{url}/{number}", body=b"x" * number)
            found.append(response.body)
        return found

    with load_server() as server, opened_loop() as loop:
        found = list(loop.run(many(f"{server.url}/{number}") for number in range(20)))
    assert sorted(found) == sorted([b"/%d/%d" % (n, m) for m in range(5)] for n in range(20))


def test_tasks_are_taken_only_when_they_can_begin() -> None:
    with load_server(0.01) as server, opened_loop(max_in_flight=8) as loop:
        source = Source(server.url, 100)
        results = loop.run(source)
        assert source.taken == 0
        for given in range(1, 50):
            next(results)
            assert source.taken <= given + 8
        assert server.most_in_flight <= 8
        results.close()
        assert source.taken <= 58


@pytest.mark.parametrize("max_in_flight", [1, 2, 7])
def test_results_come_in_the_order_of_the_tasks(max_in_flight: int) -> None:
    with load_server() as server, opened_loop(max_in_flight=max_in_flight) as loop:
        found = list(loop.map_ordered(get(f"{server.url}/{number}") for number in range(50)))
    assert found == [b"/%d" % number for number in range(50)]


def test_only_so_many_results_wait_for_the_first() -> None:
    def slow(url: str) -> Task[bytes]:
        yield Sleep(0.3)
        return (yield from get(f"{url}/slow"))

    with load_server() as server, opened_loop(max_in_flight=4) as loop:
        source = Source(server.url, 100)

        def tasks() -> Iterator[Task[bytes]]:
            yield slow(server.url)
            yield from source

        results = loop.map_ordered(tasks())
        assert next(results) == b"/slow"
        assert source.taken <= 4
        assert next(results) == b"/0"
        results.close()


def test_a_sleep_holds_up_nobody_else() -> None:
    def sleepy(url: str, seconds: float) -> Task[str]:
        yield Sleep(seconds)
        response = yield Request("GET", url)
        return f"{seconds} {response.status}"

    with load_server() as server, opened_loop() as loop:
        started = time.monotonic()
        found = list(loop.run(sleepy(server.url, seconds) for seconds in [0.2, 0.05] * 50))
        # One after the other, they would sleep for 12.5 seconds.
        assert 0.2 <= time.monotonic() - started < 10
    assert found == ["0.05 200"] * 50 + ["0.2 200"] * 50


def test_a_request_that_fails_is_thrown_into_its_task() -> None:
    def careful(url: str) -> Task[str]:
        try:
            yield Request("GET", url)
        except TransportError as error:
            return error.kind.value
        return "answered"

    with load_server() as server, refusing_port() as port, opened_loop() as loop:
        urls = [server.url, f"http://127.0.0.1:{port}/"] * 10
        found = list(loop.map_ordered(careful(url) for url in urls))
    assert found == ["answered", "refused"] * 10


def test_what_a_task_raises_ends_all_others() -> None:
    ended: list[int] = []

    def task(url: str, number: int) -> Task[bytes]:
        try:
            response: Response = yield Request("GET", f"{url}/{number}")
            if number == 3:
                raise ZeroDivisionError
            yield Sleep(60)
        finally:
            ended.append(number)
        return response.body

    with load_server() as server, opened_loop(max_in_flight=8) as loop:
        with pytest.raises(ZeroDivisionError):
            list(loop.run(task(server.url, number) for number in range(100)))
        assert sorted(ended) == list(range(8))
        # The loop itself goes on.
        assert list(loop.run([get(f"{server.url}/a")])) == [b"/a"]


def test_a_request_that_cannot_be_sent_is_its_tasks_failure() -> None:
    with load_server() as server, opened_loop() as loop, pytest.raises(InvalidRequestError):
        list(loop.run([get(f"{server.url}/a"), get(f"{server.url}/\n")]))


def test_a_proxy_that_cannot_be_used_is_its_tasks_failure() -> None:
    def task() -> Task[str]:
        try:
            yield Request("GET", "http://s3.test/a")
        except InvalidProxyError as error:
            return str(error)
        return ""

    options = ClientOptions(proxies={"http_proxy": "ftp://host"})
    with closing(CurlLoop(options)) as loop:
        (said,) = loop.run([task()])
    assert said.startswith("HTTP_PROXY: ")


def test_a_source_that_fails_ends_all() -> None:
    def tasks() -> Iterator[Task[bytes]]:
        for number in range(5):
            yield get(f"{server.url}/{number}")
        raise OSError("the listing broke")

    with load_server(0.01) as server, opened_loop() as loop:
        with pytest.raises(OSError, match="the listing broke"):
            list(loop.run(tasks()))
        assert list(loop.run([get(f"{server.url}/a")])) == [b"/a"]


def test_who_stops_taking_stops_the_work() -> None:
    closed: list[int] = []

    def task(url: str, number: int) -> Task[int]:
        try:
            yield Request("GET", f"{url}/{number}")
            if number:
                yield Sleep(60)
        finally:
            closed.append(number)
        return number

    with load_server() as server, opened_loop(max_in_flight=8) as loop:
        results = loop.run(task(server.url, number) for number in range(100))
        assert next(results) == 0
        results.close()
    assert sorted(closed) == list(range(8))


def test_another_run_may_begin_between_two_results() -> None:
    with load_server() as server, opened_loop(max_in_flight=4) as loop:
        found = []
        for body in loop.map_ordered(get(f"{server.url}/{number}") for number in range(20)):
            found += [body, *loop.map_ordered(get(f"{server.url}/{letter}") for letter in "xy")]
    assert found == [one for n in range(20) for one in (b"/%d" % n, b"/x", b"/y")]


def test_another_run_waits_where_too_many_requests_of_the_first_are_in_flight() -> None:
    release = Event()

    def late(peer: Peer) -> None:
        peer.request()
        assert release.wait(30)
        peer.answer()
        serve_on(peer)

    def slows_down(url: str) -> Task[bytes]:
        body = yield from get(url)
        loop.throttled()
        release.set()
        return body

    with scripted(serve_on, late) as server, opened_loop() as loop:
        tasks = [slows_down(f"{server.url}/0"), *[get(f"{server.url}/late") for _ in range(15)]]
        results = loop.run(tasks)
        assert next(results) == b"/0"
        assert list(loop.run([get(f"{server.url}/x")])) == [b"/x"]
        assert list(results) == [b""] * 15


def test_the_source_of_tasks_may_use_the_loop_itself() -> None:
    """As a listing does, whose pages become tasks."""

    def tasks() -> Iterator[Task[bytes]]:
        for page in range(5):
            (listed,) = loop.run([get(f"{server.url}/page{page}")])
            for number in range(10):
                yield get(f"{server.url}{listed.decode()}/{number}")

    with load_server() as server, opened_loop() as loop:
        found = list(loop.run(tasks()))
    assert sorted(found) == sorted(b"/page%d/%d" % (p, n) for p in range(5) for n in range(10))


def test_stopping_ends_all_at_once() -> None:
    stop, dropped = Stop(), Event()

    def task(url: str) -> Task[None]:
        yield Request("GET", url)

    def silent(peer: Peer) -> None:
        peer.request()
        stop.set()
        peer.wait()
        dropped.set()

    with scripted(silent) as server, opened_loop(stop=stop) as loop:
        started = time.monotonic()
        with pytest.raises(Cancelled):
            list(loop.run(task(server.url) for _ in range(8)))
        assert time.monotonic() - started < 5
        assert dropped.wait(30)
    assert stop.callbacks == 0


def test_slow_responses_are_met_by_many_requests_in_one_round() -> None:
    with load_server(0.5) as server, opened_loop() as loop:
        assert len(list(loop.run(get(f"{server.url}/{n}") for n in range(300)))) == 300
    # 16 in the first round and 256 in the second; doubled in each, there were 128 at most.
    assert server.most_in_flight > 200


# --- work in other threads ----------------------------------------------------------------------


def test_a_task_waits_for_another_thread_while_others_go_on() -> None:
    release = Event()

    def waits_for(work: Future[bytes]) -> Task[bytes]:
        told: bytes = yield work
        return told

    with load_server() as server, opened_loop() as loop, ThreadPoolExecutor(1) as executor:

        def work() -> bytes:
            assert release.wait(30)
            return b"worked"

        tasks = [waits_for(executor.submit(work)), get(f"{server.url}/meanwhile")]
        found = loop.run(tasks)
        assert next(found) == b"/meanwhile"
        release.set()
        assert list(found) == [b"worked"]


def test_what_another_thread_raises_is_raised_in_the_task() -> None:
    def fails() -> None:
        raise LookupError("in the thread")

    def catches(executor: ThreadPoolExecutor) -> Task[str]:
        try:
            yield executor.submit(fails)
        except LookupError as error:
            return str(error)
        return "nothing was raised"

    with opened_loop() as loop, ThreadPoolExecutor(1) as executor:
        assert list(loop.run([catches(executor)])) == ["in the thread"]


def test_no_task_is_taken_while_it_may_not_begin() -> None:
    held: list[int] = []
    most = 0

    def holds(url: str) -> Task[None]:
        nonlocal most
        held.append(1)
        most = max(most, len(held))
        yield Request("GET", url)
        held.pop()

    with load_server() as server, opened_loop() as loop:
        tasks = (holds(f"{server.url}/{number}") for number in range(40))
        assert len(list(loop.run(tasks, may_begin=lambda: len(held) < 3))) == 40
        # One is taken where none is under way, whatever may begin.
        assert len(list(loop.run([holds(server.url)], may_begin=lambda: False))) == 1
    assert most == 3


@pytest.mark.parametrize("waits", [False, True], ids=["begun", "resumed"])
def test_the_first_of_many_requests_is_sent_before_the_last_is_made(waits: bool) -> None:
    """Otherwise a distant server would have nothing to do until hundreds are signed."""
    work: Future[None] = Future()

    def task(number: int) -> Task[bytes]:
        if waits:
            yield work
        if number == 99:
            wait_until(lambda: server.connections > 0)
        return (yield from get(f"{server.url}/{number}"))

    def end_work() -> Task[bytes]:
        work.set_result(None)
        yield Sleep(0)
        return b"done"

    with load_server() as server, opened_loop(known_seconds=1.0) as loop:
        found = list(loop.run(chain(map(task, range(100)), [end_work()])))
    assert len(found) == 101
