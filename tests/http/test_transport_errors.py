"""Each way in which a request fails has a kind of its own and words that name who failed."""

from __future__ import annotations

import pytest

from orchestrator_cli.core.http.transport import Request, Transport, TransportError
from orchestrator_cli.core.http.transport import TransportErrorKind as Kind
from orchestrator_cli.core.http.url import host_with_port
from tests.http.conftest import MakeTransport
from tests.http.servers import refusing_port
from tests.support.servers.certificates import Certificate
from tests.support.servers.scripted import scripted, serve_on


def failure(transport: Transport, url: str) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.send(Request("GET", url))
    assert host_with_port(url) in str(caught.value)
    return caught.value


def test_a_connection_that_is_refused_may_be_tried_again(transport: Transport) -> None:
    with refusing_port() as port:
        error = failure(transport, f"http://127.0.0.1:{port}/")
    assert error.kind is Kind.REFUSED
    assert str(error) == f"connection refused by 127.0.0.1:{port}"
    assert error.is_retryable


def test_a_host_without_an_address_is_an_error_of_resolving(transport: Transport) -> None:
    # A name that is too long for one: nobody is asked for it.
    error = failure(transport, f"https://{'a' * 64}.example/")
    assert error.kind is Kind.RESOLVE


def test_a_certificate_that_nobody_trusts_is_refused(
    make_transport: MakeTransport, certificate: Certificate
) -> None:
    transport = make_transport(ca_bundle=None)
    with scripted(serve_on, tls=certificate) as server:
        error = failure(transport, server.url)
    assert error.kind is Kind.CERTIFICATE
    assert "(CA certificates: /" in str(error)
    assert not error.is_retryable
