"""One request to S3's REST API and its response, as values; and what an operation is.

An operation is a generator: it yields requests, is sent their responses, and returns its result.
It knows nothing of signatures, retries or connections; an `OperationRunner` drives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.transport import (
    MAX_BODY_BYTES,
    Body,
    Request,
    Response,
    Sleep,
    Waitable,
)
from orchestrator_cli.core.s3.checksum import parse_etag, sha256
from orchestrator_cli.core.s3.error_codes import NotS3Error, unexpected_response
from orchestrator_cli.core.s3.errors import error_from_s3, parse_error_body
from orchestrator_cli.core.s3.operations.object_head import parse_http_date
from orchestrator_cli.core.s3.permissions import action_of_request
from orchestrator_cli.core.s3.sigv4 import SigningKey, encode_key, encode_query, sign_headers

T = TypeVar("T")
Sink = Callable[[bytes], object]

# The time limit of a small response, however slowly it arrives.
SMALL_RESPONSE_SECONDS = 120.0
# The same for a response that is hardly more than a status, from when its request is sent.
STATUS_SECONDS = 60.0
# S3 says that it completes a large upload in minutes, and sends spaces meanwhile.
COMPLETION_SECONDS = 300.0
# A larger one may take longer, at this rate.
_SLOWEST_BYTES_PER_SECOND = 8 * 1024
# A body that any network sends in a moment.
_SMALL_BYTES = 64 * 1024
_ASKS_FOR_LESS = frozenset({429, 503})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SECONDS = r"[0-9]{1,6}"


class SignedBody(NamedTuple):
    """A request body with its size in bytes and its SHA-256 in hex, which is signed."""

    body: Body
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> SignedBody:
        """Return the body that these bytes are."""
        return cls(data, len(data), sha256(data).hex())


NO_BODY = SignedBody.of(b"")


def _believe(response: Response) -> None:
    """Accept a response as it is."""


class OperationRequest(Protocol):
    """The common part of all requests of operations."""

    @property
    def what(self) -> str:
        """The name of the request in errors, as in "upload of executions/…/runner.log"."""
        ...

    @property
    def kind(self) -> str:
        """What it has in common with the requests that are throttled when it is."""
        ...

    @property
    def takes_long(self) -> bool:
        """Whether sending it or its response may take long on a slow network."""
        ...

    @property
    def before_retry(self) -> BeforeRetry | None:
        """A function that takes the error and returns an operation to run before the next attempt.

        An error of that operation is final.
        """
        ...

    @property
    def is_retried(self) -> bool:
        """False where it is sent once."""
        ...


# Each method that a dataclass makes is compiled at every start.
@dataclass(slots=True, eq=False, repr=False)
class S3Request:
    """One request about a bucket, unsigned. An empty key is the bucket itself.

    `check` looks at a successful response and raises OrchestratorError where it is not to be
    believed; the request is then retried as after any other error.
    `open_sink` is called before each try and returns what takes the body; without it the body is
    collected, up to `max_body_bytes`.
    `presigned_url` is where it goes if a server has signed it, with its headers as they are.
    `total_timeout_seconds` is for a response that is small, `response_timeout_seconds` for one
    whose request may be large: it begins once that is sent.
    For `what`, `before_retry` and `is_retried` see `OperationRequest`.
    """

    method: str
    key: str
    what: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: SignedBody = NO_BODY
    check: Callable[[Response], object] = _believe
    open_sink: Callable[[], Sink] | None = None
    max_body_bytes: int = MAX_BODY_BYTES
    presigned_url: str | None = None
    total_timeout_seconds: float | None = None
    response_timeout_seconds: float = STATUS_SECONDS
    before_retry: BeforeRetry | None = None
    is_retried: bool = True

    @property
    def kind(self) -> str:
        """What it has in common with the requests that are throttled when it is."""
        if self.method in ("PUT", "POST"):
            return "replace" if "if-match" in self.headers else "create"
        return self.method if self.key else "list"

    @property
    def takes_long(self) -> bool:
        """Whether sending it or its response may take long on a slow network."""
        return self.body.size_bytes > _SMALL_BYTES or self.open_sink is not None


# It is sent a response for a request (of HTTP for an S3Request), nothing for a Sleep, and its
# result for a Waitable.
Operation = Generator[OperationRequest | Sleep | Waitable, Any, T]
# Takes the error, and returns an operation to run before the next try.
BeforeRetry = Callable[[OrchestratorError], Operation[None]]


def fetch(request: S3Request, parse: Callable[[Response], T]) -> Operation[T]:
    """Send a request and return its parsed response; one that cannot be parsed is retried."""
    parsed: list[T] = []
    request.check = lambda response: parsed.append(parse(response))
    yield request
    return parsed[-1]


def timeout_for(size_bytes: int) -> float:
    """Return how many seconds a response of this size may take in all."""
    return SMALL_RESPONSE_SECONDS + size_bytes / _SLOWEST_BYTES_PER_SECOND


def sign_request(
    request: S3Request,
    bucket_url: str,
    key: SigningKey,
    signed_at: datetime,
    more_headers: Mapping[str, str] = MappingProxyType({}),
) -> Request:
    """Return the HTTP request, signed for this moment. `bucket_url` has no slash at its end."""
    url = f"{bucket_url}/{encode_key(request.key)}" if request.key else bucket_url
    if request.query:
        url += f"?{encode_query(request.query)}"
    wanted = {**request.headers, **more_headers}
    headers = sign_headers(key, request.method, url, signed_at, wanted, request.body.sha256)
    return http_request(request, url, headers)


def http_request(request: S3Request, url: str, headers: Mapping[str, str]) -> Request:
    """Return the HTTP request to a URL, which is signed by its headers, or is presigned."""
    body = request.body
    return Request(
        request.method,
        url,
        headers,
        body.body,
        request.open_sink() if request.open_sink is not None else None,
        request.max_body_bytes,
        request.total_timeout_seconds,
        None if request.total_timeout_seconds else request.response_timeout_seconds,
    )


def accept_response(request: S3Request, response: Response) -> Response:
    """Return a successful response of S3. Raises the error of any other one."""
    if not 200 <= response.status < 300:
        action = action_of_request(request.method, request.key, request.query)
        raise error_from_response(response, request.what, action)
    request.check(response)
    return response


def error_from_response(
    response: Response, what: str, action: str | None = None
) -> OrchestratorError:
    """Return the exception for a response that is an error.

    `action` is what IAM calls the request, such as `s3:PutObject`.
    """
    found = parse_error_body(response.status, response.body.decode("utf-8", "replace"))
    headers = response.headers
    found = found._replace(
        request_id=found.request_id or headers.get("x-amz-request-id"),
        region=found.region or headers.get("x-amz-bucket-region"),
        action=action,
    )
    if not found.code and not found.request_id and not found.region and _is_of_another(response):
        return _not_s3(response, what)
    error = error_from_s3(found, what)
    if isinstance(error, UnavailableError) and not found.code and not found.request_id:
        # Of a load balancer or a proxy, perhaps.
        error.name_peer(response.peer)
    error.is_throttled = error.is_throttled or response.status in _ASKS_FOR_LESS
    error.retry_after_seconds = retry_after(response)
    return error


def _is_of_another(response: Response) -> bool:
    """Return True for a response of a portal or a load balancer, and not of S3."""
    if response.status in _REDIRECTS:
        return True
    media_type = response.headers.get("content-type", "")
    # A response to HEAD has no body to tell by.
    is_page = bool(response.body) and media_type.startswith("text/html")
    return is_page and response.status < 500 and response.status != 407


def _not_s3(response: Response, what: str) -> NotS3Error:
    error = unexpected_response(what)
    error.message += redirect_target(response) or ""
    error.args = (error.message,)
    return error


def redirect_target(response: Response) -> str | None:
    """Return words for where a response redirects; None for one that does not."""
    if response.status not in _REDIRECTS:
        return None
    location = urlsplit(response.headers.get("location", ""))
    # Without its path and query, which may hold a signature.
    if not location.hostname:
        return ""
    return printable(f": it redirects to {location.scheme}://{location.hostname}")


def retry_after(response: Response) -> float | None:
    """Return after how many seconds the server wants the next request, where it says so."""
    text = response.headers.get("retry-after", "")
    if not text or re.fullmatch(_SECONDS, text):
        return float(text) if text else None
    try:
        at = parse_http_date(text)
    except ValueError:
        return None
    now = datetime.now(UTC)
    with suppress(ValueError):
        # By the server's own clock, where it tells the time.
        now = parse_http_date(response.header("date"))
    return max(0.0, (at - now).total_seconds())


def require_etag(response: Response, what: str) -> str:
    """Return the ETag without quotes. Raises UnavailableError for a response that is not S3's.

    Every S3 sends an MD5, or something else along with its request id. What answers 200 to
    anything, such as a network's login page, may send an ETag, but hardly one of the two.
    """
    etag = response.header("etag").strip('"')
    if not etag or (parse_etag(etag) is None and not response.header("x-amz-request-id")):
        raise unexpected_response(what)
    return etag
