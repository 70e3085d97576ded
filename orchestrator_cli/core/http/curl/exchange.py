"""Send requests on one libcurl handle, one at a time, and collect their responses."""

from __future__ import annotations

import fcntl
import struct
import termios
from collections.abc import Callable

import pycurl

from orchestrator_cli.core.http.curl import options as curl_options
from orchestrator_cli.core.http.curl.errors import Route, error_from_curl, make_error
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.curl.request_source import RequestSource
from orchestrator_cli.core.http.response_head import InvalidHeadError, expected_size, parse_head
from orchestrator_cli.core.http.transport import RateLimit, Request, Response, TransportErrorKind

_NO_REQUEST = Request("GET", "")
_NO_ROUTE = Route(None, None)
_PROXY_AUTHENTICATION_REQUIRED = 407


class Exchange:
    """Sends one request after the other; not shared between threads.

    `on_pause` is called with the seconds after which `resume` should be called, where the rate
    limit lets no more bytes go for now.
    """

    def __init__(
        self,
        options: ClientOptions,
        rate_limit: RateLimit | None,
        on_pause: Callable[[Exchange, float], object],
    ) -> None:
        self.curl = pycurl.Curl()
        self.is_paused = False
        self._options = options
        self._source = RequestSource(rate_limit)
        self._on_pause = on_pause
        self._request = _NO_REQUEST
        self._failure: BaseException | None = None
        self._origin = ""
        self._route = _NO_ROUTE
        self._method = ("", False)
        self._limits = (0, True)
        self._is_fresh = False
        self._times_sent = 0
        self._lines: list[bytes] = []
        self._head: tuple[int, dict[str, str]] | None = None
        self._sink: Callable[[bytes], object] | None = None
        self._pieces: list[bytes] = []
        self._received_bytes = 0
        curl_options.configure_handle(self.curl, options)
        self.curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._write)
        self.curl.setopt(pycurl.READFUNCTION, self._read)
        self.curl.setopt(pycurl.SEEKFUNCTION, self._seek)

    def prepare(self, request: Request, *, fresh: bool) -> None:
        """Set the handle up for a request; `fresh`: on a connection of its own.

        Raises InvalidRequestError, InvalidProxyError.
        """
        url = curl_options.check_url(request.url)
        lines = curl_options.header_lines(request.headers)
        self._request = request
        self._received_bytes = self._times_sent = 0
        self._lines.clear()
        self._source.open(request.body)
        self._prepare_route(url)
        self._prepare_method(request)
        self._prepare_limits(request)
        if fresh != self._is_fresh:
            self.curl.setopt(pycurl.FRESH_CONNECT, fresh)
            self._is_fresh = fresh
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.HTTPHEADER, lines)

    def finish(self, code: int) -> Response:
        """Return the response to a request that ended with libcurl's `code`, or raise why not."""
        if self._failure is not None:
            raise self._failure
        if code:
            raise error_from_curl(self.curl, code, self._request, self._route)
        status, headers = self._checked_head()
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        seconds = self._answer_seconds()
        return Response(status, headers, body, seconds, self._request.url, self._route.proxy)

    @property
    def response_timeout_seconds(self) -> float | None:
        """How long the response may take once the request is sent."""
        return self._request.response_timeout_seconds

    def overdue(self, kind: TransportErrorKind) -> Exception:
        """Return the error for a request that is not waited for any longer."""
        return make_error(kind, self._request, self._route)

    def release(self) -> None:
        """Drop the request and what was received, which may be large."""
        self._source.close()
        self._request = _NO_REQUEST
        self._failure = self._head = self._sink = None
        self._pieces = []
        self.is_paused = False

    def resume(self) -> None:
        """Continue to send after a pause."""
        self.is_paused = False
        self.curl.pause(pycurl.PAUSE_CONT)

    def seconds_to_resolve(self) -> float | None:
        """Return how long the server's name took, while it is being connected to; else None."""
        curl = self.curl
        if curl.getinfo(pycurl.REQUEST_SIZE) or not curl.getinfo(pycurl.NAMELOOKUP_TIME_T):
            return None
        return int(curl.getinfo(pycurl.NAMELOOKUP_TIME_T)) / 1e6

    def is_sent(self) -> bool:
        """Return True once the server has all of the request."""
        curl = self.curl
        if not curl.getinfo(pycurl.REQUEST_SIZE):
            return False
        left = self._source.size_bytes - int(curl.getinfo(pycurl.SIZE_UPLOAD_T))
        return not left and not _unacknowledged_bytes(curl.getinfo(pycurl.ACTIVESOCKET))

    def progress(self) -> tuple[int, ...] | None:
        """Return numbers of which one changes while anything moves; None before it is connected.

        What the system has taken over to send may take minutes where the network is slow: so how
        much of it has not been acknowledged is one of them.
        """
        curl = self.curl
        if self.is_paused or not curl.getinfo(pycurl.REQUEST_SIZE):
            return None
        sent, received = curl.getinfo(pycurl.SIZE_UPLOAD_T), curl.getinfo(pycurl.SIZE_DOWNLOAD_T)
        unsent = _unacknowledged_bytes(curl.getinfo(pycurl.ACTIVESOCKET))
        return sent, received, curl.getinfo(pycurl.HEADER_SIZE), unsent

    def close(self) -> None:
        """Free the handle."""
        self.release()
        self.curl.close()

    def _prepare_route(self, url: str) -> None:
        end = url.find("/", 8)
        origin = url if end < 0 else url[:end]
        if origin != self._origin:
            self._route = self._options.route_to(url)
            self._origin = origin
            curl_options.configure_proxy(self.curl, self._route.proxy)

    def _prepare_method(self, request: Request) -> None:
        size_bytes = self._source.size_bytes
        has_body = size_bytes > 0 or request.method in ("PUT", "POST")
        if (request.method, has_body) != self._method:
            curl_options.configure_method(self.curl, request.method, has_body=has_body)
            self._method = request.method, has_body
        self.curl.setopt(pycurl.INFILESIZE_LARGE, size_bytes if has_body else -1)

    def _prepare_limits(self, request: Request) -> None:
        limits = curl_options.total_timeout_milliseconds(request), request.is_idempotent
        if limits == self._limits:
            return
        self._limits = limits
        self.curl.setopt(pycurl.TIMEOUT_MS, limits[0])
        if request.is_idempotent:
            self.curl.unsetopt(pycurl.PREREQFUNCTION)
        else:
            self.curl.setopt(pycurl.PREREQFUNCTION, self._allow_once)

    def _allow_once(self, *_: object) -> int:
        """Let a request be sent, but not once more on another connection, as libcurl would."""
        self._times_sent += 1
        return pycurl.PREREQFUNC_OK if self._times_sent == 1 else pycurl.PREREQFUNC_ABORT

    def _read(self, size: int) -> bytes | memoryview | int:
        try:
            piece = self._source.read(size)
        except BaseException as error:  # noqa: BLE001 - raised by `finish`
            self._failure = error
            return pycurl.READFUNC_ABORT
        if not isinstance(piece, float):
            return piece
        self.is_paused = True
        self._on_pause(self, piece)
        return pycurl.READFUNC_PAUSE

    def _seek(self, offset: int, origin: int) -> int:
        try:
            self._source.rewind()
        except BaseException as error:  # noqa: BLE001 - raised by `finish`
            self._failure = error
            return pycurl.SEEKFUNC_FAIL
        return pycurl.SEEKFUNC_OK

    def _write(self, data: bytes) -> int:
        try:
            sink = self._sink or self._open_body()
            self._received_bytes += len(data)
            sink(data)
        except BaseException as error:  # noqa: BLE001 - raised by `finish`
            self._failure = error
            return -1
        return len(data)

    def _open_body(self) -> Callable[[bytes], object]:
        """Look at the head once the body begins, and return what takes the body."""
        self._head = self._parse_head()
        sink = self._request.sink
        self._sink = sink if sink is not None and 200 <= self._head[0] < 300 else self._collect
        return self._sink

    def _collect(self, data: bytes) -> None:
        if self._received_bytes > self._request.max_body_bytes:
            raise make_error(TransportErrorKind.TOO_LARGE, self._request, self._route)
        self._pieces.append(data)

    def _parse_head(self) -> tuple[int, dict[str, str]]:
        try:
            head = parse_head(self._lines)
        except InvalidHeadError as error:
            cut = error.truncated
            kind = TransportErrorKind.TRUNCATED if cut else TransportErrorKind.MALFORMED
            raise make_error(kind, self._request, self._route) from error
        size_bytes = expected_size(self._request.method, *head)
        is_collected = self._request.sink is None or not 200 <= head[0] < 300
        if is_collected and size_bytes is not None and size_bytes > self._request.max_body_bytes:
            raise make_error(TransportErrorKind.TOO_LARGE, self._request, self._route)
        return head

    def _checked_head(self) -> tuple[int, dict[str, str]]:
        request = self._request
        status, headers = self._head or self._parse_head()
        size_bytes = expected_size(request.method, status, headers)
        if size_bytes is not None and size_bytes != self._received_bytes:
            raise make_error(TransportErrorKind.TRUNCATED, request, self._route)
        proxy = self._route.proxy
        if status == _PROXY_AUTHENTICATION_REQUIRED and proxy is not None and proxy.is_http:
            kind = TransportErrorKind.PROXY_AUTH
            raise make_error(kind, request, self._route, proxy_status=status, proxy_failed=True)
        return status, headers

    def _answer_seconds(self) -> float:
        sent = int(self.curl.getinfo(pycurl.POSTTRANSFER_TIME_T))
        began = int(self.curl.getinfo(pycurl.STARTTRANSFER_TIME_T))
        return max(0, began - sent) / 1e6


def _unacknowledged_bytes(descriptor: int) -> int:
    """Return how many sent bytes have not been acknowledged; 0 where the system does not say."""
    try:
        count = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", count)[0])
