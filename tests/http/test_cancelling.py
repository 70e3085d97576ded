"""Work ends at once when it is told to stop, whatever it is waiting for."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator_cli.core.base.cancellation import CancelToken, bind_token
from orchestrator_cli.core.http.curl.easy import EasyTransport
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.transport import Cancelled, Request, Transport
from tests.http.conftest import MakeTransport
from tests.http.servers import OK, Stop
from tests.support.servers.certificates import Certificate
from tests.support.servers.scripted import Peer, Scripted, scripted, serve_on


def silent(peer: Peer) -> None:
    peer.request()
    reached.set()
    peer.wait()


def stopped_in_body(peer: Peer) -> None:
    peer.request()
    peer.send(OK + b"Content-Length: 50000\r\n\r\nhello")
    reached.set()
    peer.wait()


def deaf(peer: Peer) -> None:
    peer.request_head()
    reached.set()
    peer.stop_reading()


reached = threading.Event()


def when_reached(do: Callable[[], object]) -> threading.Thread:
    reached.clear()

    def wait() -> None:
        assert reached.wait(20)
        # The client is waiting by now, or will see at once that it should not.
        time.sleep(0.02)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("script", [silent, stopped_in_body, deaf])
def test_stopping_ends_a_request_at_once(
    script: Callable[[Peer], None], make_transport: MakeTransport, tls: Certificate | None
) -> None:
    stop = Stop()
    transport = make_transport(stop=stop)
    with scripted(script, tls=tls) as server:
        stopping = when_reached(stop.set)
        started = time.monotonic()
        with pytest.raises(Cancelled):
            transport.send(Request("PUT", server.url, body=bytes(16 << 20)))
        # libcurl alone takes up to a second for it, of a minute that it would wait.
        assert time.monotonic() - started < 10
        stopping.join()


def test_who_was_told_to_stop_sends_nothing(make_transport: MakeTransport) -> None:
    stop = Stop()
    transport = make_transport(stop=stop)
    with scripted(serve_on) as server:
        stop.set()
        with pytest.raises(Cancelled):
            transport.send(Request("GET", server.url))
    assert server.requests == []


def test_a_signal_whose_handler_raises_ends_a_request(transport: Transport) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def ask(server: Scripted) -> None:
        with pytest.raises(KeyboardInterrupt):
            transport.send(Request("GET", server.url))

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with scripted(silent, serve_on) as server:
            sending = when_reached(lambda: os.kill(os.getpid(), signal.SIGUSR1))
            started = time.monotonic()
            ask(server)
            assert time.monotonic() - started < 10
            sending.join()
            assert transport.send(Request("GET", f"{server.url}/a")).body == b"/a"
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_one_transport_can_be_told_to_stop_without_the_others(
    make_transport: MakeTransport,
) -> None:
    stop = Stop()
    other = make_transport()
    stopped = make_transport(stop=stop)
    with scripted(serve_on) as server:
        stop.set()
        with pytest.raises(Cancelled):
            stopped.send(Request("GET", f"{server.url}/a"))
        assert other.send(Request("GET", f"{server.url}/b")).body == b"/b"


def test_a_thread_with_a_token_of_its_own_heeds_that_one() -> None:
    own, common = CancelToken(), CancelToken()
    with (
        scripted(serve_on) as server,
        contextlib.closing(EasyTransport(ClientOptions(), common)) as transport,
        ThreadPoolExecutor(1, initializer=bind_token, initargs=(own,)) as thread,
    ):
        common.set()
        request = Request("GET", f"{server.url}/a")
        assert thread.submit(transport.send, request).result().body == b"/a"
        own.set()
        with pytest.raises(Cancelled):
            thread.submit(transport.send, request).result()
