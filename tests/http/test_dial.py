"""One address of a host that does not answer costs a moment, and none of them costs for ever."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from orchestrator_cli.core.http.dial import Address, _interleaved, dial
from orchestrator_cli.core.http.framing import TransportError
from orchestrator_cli.core.http.wire import Connection
from tests.support.certificates import Certificate
from tests.support.scripted import Peer, Scripted, scripted, serve_on

Addresses = Callable[..., None]


def found(address: str, port: int) -> Any:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, 6, "", (address, port)


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> Addresses:
    """Say which addresses the host of the test has, in order."""

    def have(*ports: int) -> None:
        told = [found("127.0.0.1", port) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: told)

    return have


@pytest.fixture
def answering() -> Iterator[Scripted]:
    with scripted(serve_on) as server:
        yield server


@pytest.fixture
def refusing() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that answers no attempt to connect: those that wait there are as many as may."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(3):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        probe = opened.enter_context(socket.socket())
        probe.settimeout(0.2)
        try:
            probe.connect(("127.0.0.1", port))
        except TimeoutError:
            yield port
        else:
            pytest.skip("the system takes more connections than it was told to")


def port_of(server: Scripted) -> int:
    return int(server.url.rpartition(":")[2])


def open_and_close(seconds: float = 20) -> float:
    """Connect to what the host's addresses are, and return how long that took."""
    started = time.monotonic()
    dial(Address("host.example", 1, None, seconds, 20)).close()
    return time.monotonic() - started


def test_one_address_is_enough(addresses: Addresses, answering: Scripted) -> None:
    addresses(port_of(answering))
    assert open_and_close() < 5


def test_one_that_refuses_is_passed_over_at_once(
    addresses: Addresses, answering: Scripted, refusing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_cli.core.http.dial._HEAD_START_SECONDS", 20.0)
    addresses(refusing, refusing, port_of(answering))
    assert open_and_close() < 10


def test_one_that_does_not_answer_costs_a_moment(
    addresses: Addresses, answering: Scripted, silent: int
) -> None:
    addresses(silent, port_of(answering))
    assert 0.2 < open_and_close() < 10
    gc.collect()  # a socket that was left open would be told now


def test_one_that_answers_late_wins_all_the_same(
    addresses: Addresses, answering: Scripted, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a far network: the head start is over before the first answer is there."""
    monkeypatch.setattr("orchestrator_cli.core.http.dial._HEAD_START_SECONDS", 0.0)
    addresses(port_of(answering), silent)
    assert open_and_close() < 5


def test_all_that_do_not_answer_have_one_time_limit(addresses: Addresses, silent: int) -> None:
    addresses(*[silent] * 5)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        open_and_close(0.6)
    assert 0.5 < time.monotonic() - started < 5
    gc.collect()


def test_all_that_refuse_are_a_refusal(addresses: Addresses, refusing: int) -> None:
    addresses(refusing, refusing)
    with pytest.raises(ConnectionRefusedError):
        open_and_close()


def test_how_the_last_one_failed_is_said(addresses: Addresses, refusing: int, silent: int) -> None:
    addresses(silent, refusing)
    with pytest.raises(TimeoutError):
        open_and_close(0.6)
    addresses()
    with pytest.raises(OSError, match="no address"):
        open_and_close(0.6)


def test_families_take_turns() -> None:
    six = [found(f"2001:db8::{number}", 1) for number in range(3)]
    four = [found("192.0.2.1", 1), found("192.0.2.2", 1)]
    order = [one[4][0] for one in _interleaved([*six, *four])]
    assert order == ["2001:db8::0", "192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"]


def test_both_families_are_reached_by_their_literals() -> None:
    for host in ("127.0.0.1", "::1"):
        try:
            opened = scripted(serve_on, host=host)
            with opened as server:
                dial(Address(host, port_of(server), None, 5, 5)).close()
        except OSError as error:
            if host == "127.0.0.1":
                raise
            pytest.skip(f"no IPv6 here: {error}")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "ü" * 70 + ".example"])
def test_a_name_that_can_be_none_is_not_resolved(host: str) -> None:
    with pytest.raises(TransportError, match="cannot be resolved"):
        Connection(Address(host, 9, None, 5, 5))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls_knows_the_host_by_its_name(certificate: Certificate, host: str) -> None:
    with scripted(serve_on, tls=certificate) as server:
        address = Address(host, port_of(server), certificate.client_context(), 5, 5)
        with closing(Connection(address)) as connection:
            head = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
            assert connection.exchange("GET", head, b"")[0].data == b"/a"


def test_a_handshake_that_stalls_is_bounded(certificate: Certificate) -> None:
    with scripted(Peer.wait) as server:
        address = Address("127.0.0.1", port_of(server), certificate.client_context(), 0.3, 20)
        started = time.monotonic()
        with pytest.raises(TransportError, match="timed out"):
            Connection(address)
        assert time.monotonic() - started < 5
    gc.collect()


def test_the_stall_time_holds_once_it_is_connected() -> None:
    with scripted(Peer.wait) as server:
        connected = dial(Address("127.0.0.1", port_of(server), None, 20, 0.2))
        started = time.monotonic()
        with closing(connected), pytest.raises(TimeoutError):
            connected.recv(1)
        assert time.monotonic() - started < 5


def test_a_socket_that_cannot_be_set_up_is_closed(
    answering: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, where one that was reset already takes no options."""
    opened: list[socket.socket] = []
    connect_ex, setsockopt = socket.socket.connect_ex, socket.socket.setsockopt

    def connect(self: socket.socket, address: Any) -> int:
        opened.append(self)
        return connect_ex(self, address)

    def refuse(self: socket.socket, *option: Any) -> None:
        if self in opened:
            raise OSError(22, "Invalid argument")
        setsockopt(self, *option)

    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    with pytest.raises(TransportError, match="Invalid argument"):
        Connection(Address("127.0.0.1", port_of(answering), None, 5, 5))
    assert [one.fileno() for one in opened] == [-1]
