"""Every promise about behaviour is kept by both transports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from orchestrator_cli.core.http.curl.easy import EasyTransport
from orchestrator_cli.core.http.curl.loop import CurlLoop
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.transport import (
    RateLimit,
    Request,
    Response,
    StopToken,
    Task,
    Transport,
)
from tests.support.servers.certificates import Certificate


class MakeTransport(Protocol):
    """Makes a transport that is closed after the test; keywords are those of ClientOptions."""

    def __call__(
        self, *, stop: StopToken | None = None, rate_limit: RateLimit | None = None, **options: Any
    ) -> Transport: ...


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certificate: Certificate) -> Certificate | None:
    return certificate if request.param == "tls" else None


class LoopTransport:
    """Sends one request at a time by a loop."""

    def __init__(self, options: ClientOptions, **settings: Any) -> None:
        self._loop = CurlLoop(options, **settings)
        self.close = self._loop.close

    def send(self, request: Request) -> Response:
        """Return the response to a request that is a task of its own."""
        (response,) = self._loop.run([_only(request)])
        return response


def _only(request: Request) -> Task[Response]:
    response: Response = yield request
    return response


TRANSPORTS: dict[str, Callable[..., Any]] = {"easy": EasyTransport, "loop": LoopTransport}


@pytest.fixture(params=TRANSPORTS)
def make_transport(
    request: pytest.FixtureRequest, certificate: Certificate
) -> Iterator[MakeTransport]:
    with ExitStack() as opened:

        def make(
            *,
            stop: StopToken | None = None,
            rate_limit: RateLimit | None = None,
            **options: Any,
        ) -> Transport:
            client = ClientOptions(**{"ca_bundle": str(certificate.file), **options})
            made = TRANSPORTS[request.param](client, stop=stop, rate_limit=rate_limit)
            opened.callback(made.close)
            return made  # type: ignore[no-any-return]

        yield make


@pytest.fixture
def transport(make_transport: MakeTransport) -> Transport:
    return make_transport()
