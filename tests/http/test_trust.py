"""Which servers are believed, and by which addresses they are reached."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from orchestrator_cli.core.http.ca_bundle import default_ca_file
from orchestrator_cli.core.http.transport import Request, Transport, TransportError
from orchestrator_cli.core.http.transport import TransportErrorKind as Kind
from tests.http.conftest import MakeTransport
from tests.http.servers import port_of
from tests.support.servers.certificates import Certificate, make_certificate
from tests.support.servers.scripted import Peer, scripted, serve_on


def failure(transport: Transport, url: str) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.send(Request("GET", url))
    return caught.value


# --- trust -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls_knows_the_host_by_its_name(
    host: str, transport: Transport, certificate: Certificate
) -> None:
    with scripted(serve_on, tls=certificate) as server:
        url = f"https://{host}:{port_of(server)}/a"
        assert transport.send(Request("GET", url)).body == b"/a"


def test_another_host_of_the_same_address_is_not_believed(
    make_transport: MakeTransport, certificate: Certificate
) -> None:
    with scripted(serve_on, tls=certificate, host="0.0.0.0") as server:
        error = failure(make_transport(), f"https://127.0.0.2:{port_of(server)}/a")
    assert error.kind is Kind.CERTIFICATE_HOST
    assert "is of another host" in str(error)
    assert not error.is_retryable


@pytest.mark.parametrize("valid", [(-2, -1), (1, 2)], ids=["expired", "not yet valid"])
def test_a_certificate_out_of_its_time_says_so(
    make_transport: MakeTransport, tmp_path: Path, valid: tuple[int, int]
) -> None:
    certificate = Certificate(make_certificate(tmp_path / "server.pem", valid))
    with scripted(serve_on, tls=certificate) as server:
        error = failure(make_transport(ca_bundle=str(certificate.file)), server.url)
    assert error.kind is Kind.CERTIFICATE_DATES
    assert not error.is_retryable
    assert "has expired, or is not valid yet" in str(error)


def test_a_certificate_of_an_unknown_ca_names_the_file_of_those_that_are_known(
    make_transport: MakeTransport, certificate: Certificate, tmp_path: Path
) -> None:
    other = Certificate(make_certificate(tmp_path / "other.pem"))
    with scripted(serve_on, tls=other) as server:
        error = failure(make_transport(), server.url)
    assert error.kind is Kind.CERTIFICATE
    assert f"(CA certificates: {certificate.file})" in str(error)


def test_plain_http_does_not_ask_for_cas(make_transport: MakeTransport, tmp_path: Path) -> None:
    transport = make_transport(ca_bundle=str(tmp_path / "none.pem"))
    with scripted(serve_on) as server:
        assert transport.send(Request("GET", f"{server.url}/a")).body == b"/a"


@pytest.mark.parametrize("content", [None, b"", bytes(range(256))])
def test_a_ca_bundle_that_is_none_is_named(
    content: bytes | None,
    make_transport: MakeTransport,
    certificate: Certificate,
    tmp_path: Path,
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with scripted(serve_on, tls=certificate) as server:
        error = failure(make_transport(ca_bundle=str(file)), server.url)
    assert error.kind is Kind.CA_FILE
    assert f"(CA certificates: {file})" in str(error)
    assert not error.is_retryable


def test_a_server_that_does_not_speak_tls_is_named(transport: Transport) -> None:
    def plain(peer: Peer) -> None:
        peer.socket.recv(100)
        peer.answer(b"<html>use https</html>", "400 Bad Request")

    with scripted(plain) as server:
        error = failure(transport, server.url.replace("http", "https"))
    assert error.kind is Kind.NOT_TLS
    assert f"127.0.0.1:{port_of(server)} does not speak TLS" in str(error)


def test_old_tls_is_not_spoken(transport: Transport, certificate: Certificate) -> None:
    context = certificate.server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    def old(peer: Peer) -> None:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(peer.socket.dup(), server_side=True)

    with scripted(old) as server:
        error = failure(transport, server.url.replace("http", "https"))
    assert error.kind is Kind.NOT_TLS


def test_a_handshake_that_breaks_is_a_broken_connection(transport: Transport) -> None:
    with scripted(Peer.reset) as server:
        error = failure(transport, server.url.replace("http", "https"))
    assert error.kind is Kind.BROKEN
    assert error.is_retryable


def test_the_systems_cas_are_trusted_before_botocores(tmp_path: Path) -> None:
    missing, empty, full = (tmp_path / name for name in ("missing", "empty", "full"))
    empty.write_text("")
    full.write_text("x")
    names = str(missing), str(empty), str(full)
    assert default_ca_file(names) == str(full)
    fallback = default_ca_file(names[:2])
    assert fallback is not None
    assert fallback.endswith("botocore/cacert.pem")
    context = ssl.create_default_context(cafile=fallback)
    assert context.cert_store_stats()["x509_ca"] > 50
    assert default_ca_file()


# --- addresses -------------------------------------------------------------------------------


def test_both_families_are_reached_by_their_literals(transport: Transport) -> None:
    for host in ("127.0.0.1", "::1"):
        try:
            opened = scripted(serve_on, host=host)
            with opened as server:
                assert transport.send(Request("GET", f"{server.url}/a")).body == b"/a"
                assert server.requests[0].header("host") == server.url.removeprefix("http://")
        except OSError as error:
            if host == "127.0.0.1":
                raise
            pytest.skip(f"no IPv6 here: {error}")


@contextmanager
def silent_port(host: str, port: int) -> Iterator[None]:
    """A port that answers no attempt to connect: those that wait there are as many as may."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket(socket.AF_INET6))
        try:
            listener.bind((host, port))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
        listener.listen(0)
        for _ in range(3):
            waiting = opened.enter_context(socket.socket(socket.AF_INET6))
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        probe = opened.enter_context(socket.socket(socket.AF_INET6))
        probe.settimeout(0.2)
        try:
            probe.connect((host, port))
        except TimeoutError:
            yield
        else:
            pytest.skip("the system takes more connections than it was told to")


def test_an_address_that_refuses_is_passed_over(transport: Transport) -> None:
    """The name has two addresses, and the server listens at the second."""
    with scripted(serve_on) as server:
        url = f"http://localhost:{port_of(server)}/a"
        assert transport.send(Request("GET", url)).body == b"/a"


def test_an_address_that_does_not_answer_costs_a_moment(make_transport: MakeTransport) -> None:
    with scripted(serve_on) as server, silent_port("::1", port_of(server)):
        started = time.monotonic()
        url = f"http://localhost:{port_of(server)}/a"
        transport = make_transport(connect_timeout_seconds=30)
        assert transport.send(Request("GET", url)).body == b"/a"
        assert time.monotonic() - started < 10


def test_a_server_that_accepts_no_connection_is_given_up(make_transport: MakeTransport) -> None:
    with socket.socket(socket.AF_INET6) as free:
        free.bind(("::1", 0))
        port = free.getsockname()[1]
    with silent_port("::1", port):
        started = time.monotonic()
        error = failure(make_transport(connect_timeout_seconds=0.3), f"http://[::1]:{port}/a")
        assert time.monotonic() - started < 10
    assert error.kind is Kind.CONNECT_TIMEOUT
    assert str(error) == f"[::1]:{port} did not accept a connection in time"
