"""The types of an HTTP transport: requests, responses, and typed errors.

Nothing here knows how a request is sent; see `curl.easy` and `curl.loop` for that.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from orchestrator_cli.core.http.proxy import Proxy
from orchestrator_cli.core.http.url import host_with_port

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 10
# How long a transfer may make no progress in either direction; not the limit of a whole transfer.
STALL_TIMEOUT_SECONDS = 60
# The idempotent methods. A POST that is sent twice may begin two uploads.
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
# Larger than any page, range or error document that is requested.
MAX_BODY_BYTES = 64 * 1024 * 1024


@runtime_checkable
class BodyReader(Protocol):
    """A request body that is read while it is sent."""

    @property
    def size_bytes(self) -> int:
        """How many bytes `read` gives in all."""
        ...

    def read(self, size: int, /) -> bytes | memoryview:
        """Return the next bytes, at most `size` of them and at least one while any are left.

        A view must stay valid until the next call of this reader.
        """
        ...

    def rewind(self) -> None:
        """Go back to the first byte: the body is sent once more."""
        ...


Body = bytes | bytearray | memoryview | BodyReader


class Request(NamedTuple):
    """One HTTP request. The names of `headers` are in lower case; the body's length is added.

    `sink` is called with the body of a 2xx response, piece by piece; the body of any other one is
    collected in `Response.body`. Without a sink every body is collected, up to `max_body_bytes`.
    What the body or the sink raises ends the request and is raised by whoever sends it.
    `total_timeout_seconds` limits the whole request, for responses that are small: without it, a
    request may take as long as bytes keep moving. `response_timeout_seconds` limits what follows
    the last byte of a request that may take long to send.
    """

    method: str
    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: Body = b""
    sink: Callable[[bytes], object] | None = None
    max_body_bytes: int = MAX_BODY_BYTES
    total_timeout_seconds: float | None = None
    response_timeout_seconds: float | None = None

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice does no harm, as after a connection broke."""
        return self.method in IDEMPOTENT_METHODS


def lower_headers(headers: Mapping[str, str | bytes], without: Container[str]) -> dict[str, str]:
    """Return the headers of another library's request as a Request has them, without some."""
    return {
        name.lower(): text.decode("latin-1") if isinstance(text, bytes) else str(text)
        for name, text in headers.items()
        if name.lower() not in without
    }


class Response(NamedTuple):
    """A response of any status. The names of `headers` are in lower case.

    `seconds` is the time from the last byte of the request to the first byte of the response.
    `url` is what was asked, `proxy` what it went through.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    url: str = ""
    proxy: Proxy | None = None

    @property
    def peer(self) -> str:
        """Who answered, to be shown: host, port and proxy."""
        if not self.url:
            return ""
        through = f" through the proxy {self.proxy.url}" if self.proxy else ""
        return f"{host_with_port(self.url)}{through}"

    def header(self, name: str, default: str = "") -> str:
        """Return a header by its name in lower case, or the default where there is none."""
        return self.headers.get(name, default)


class Sleep(NamedTuple):
    """A task yields this to be resumed after so many seconds; other tasks go on meanwhile."""

    seconds: float


class Waitable(Protocol):
    """Work that another thread does for a task, such as a concurrent.futures.Future."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call this once the work has ended, from any thread."""
        ...

    def result(self) -> Any:
        """Return what the work returned, or raise what it raised."""
        ...


# A task yields requests and is sent their responses; a request that fails is thrown into it as
# TransportError. What is sent in return for a Sleep is None. For a Waitable it is sent the result,
# which the loop does not wait for: other tasks go on.
Task = Generator[Request | Sleep | Waitable, Any, T]


class TransportErrorKind(StrEnum):
    """Why there is no response."""

    RESOLVE = "resolve"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    STALLED = "stalled"
    TOO_SLOW = "too_slow"
    CERTIFICATE = "certificate"
    CERTIFICATE_DATES = "certificate_dates"
    CERTIFICATE_HOST = "certificate_host"
    CA_FILE = "ca_file"
    NOT_TLS = "not_tls"
    PROXY_AUTH = "proxy_auth"
    PROXY_REFUSED = "proxy_refused"
    BROKEN = "broken"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"


class TransportError(Exception):
    """A request got no whole response; the text says why, and names host, port and proxy.

    `is_retryable`: the same request may succeed later; whether the server has acted on this one is
    not known.
    """

    def __init__(self, message: str, kind: TransportErrorKind, is_retryable: bool = True) -> None:
        super().__init__(message)
        self.kind = kind
        self.is_retryable = is_retryable


class InvalidRequestError(ValueError):
    """A request that cannot be sent as it is. `header` names the header at fault; None: the URL."""

    def __init__(self, message: str, header: str | None = None) -> None:
        super().__init__(message)
        self.header = header


class Cancelled(Exception):  # noqa: N818 - nothing has failed
    """The work was told to stop."""


class Transport(Protocol):
    """Sends one request at a time. Safe to share between threads unless it says otherwise."""

    def send(self, request: Request) -> Response:
        """Return the response, whatever its status; redirects are not followed.

        Raises TransportError, Cancelled, InvalidRequestError, and what the body or the sink raises.
        """
        ...


class StopToken(Protocol):
    """Tells work to stop."""

    def is_set(self) -> bool:
        """Return True once the work should stop."""
        ...

    def add_callback(self, callback: Callable[[], object], /) -> Callable[[], object]:
        """Call this once the work should stop, from any thread. Returns a function that removes it.

        It is called at once where the work should stop already.
        """
        ...


class RateLimit(Protocol):
    """Limits the bytes of request bodies that are sent in a second."""

    def reserve(self, size_bytes: int, /) -> float:
        """Return how many seconds to wait before so many bytes may be sent; they are taken."""
        ...
