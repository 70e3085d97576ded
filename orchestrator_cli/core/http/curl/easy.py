"""Sends one request at a time and waits for its response, from as many threads as there are."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pycurl

from orchestrator_cli.core.base.cancellation import current_token
from orchestrator_cli.core.http.curl.driver import CurlDriver
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.transport import Cancelled, RateLimit, Request, Response, StopToken


class EasyTransport:
    """A transport that blocks, safe to share between threads.

    Each thread has a connection of its own while it sends; connections are used again, the last
    one first. Stopping ends what is under way at once, as does a signal whose handler raises. Where
    a thread has a token of its own, that one tells it to stop, in the place of `stop`.
    """

    def __init__(
        self,
        options: ClientOptions,
        stop: StopToken | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        self._options = options
        self._stop = stop
        self._rate_limit = rate_limit
        self._lock = threading.Lock()
        self._idle: list[CurlDriver] = []
        self._is_closed = False
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_SSL_SESSION)

    def send(self, request: Request) -> Response:
        """Return the response, whatever its status; redirects are not followed.

        Raises TransportError, Cancelled, InvalidRequestError, and what the body or the sink raises.
        """
        stop = self._stop and (current_token() or self._stop)
        with self._driver() as driver, contextlib.ExitStack() as waking:
            if stop is not None:
                waking.callback(stop.add_callback(driver.wake))
            driver.start(request, request)
            while True:
                if stop is not None and stop.is_set():
                    driver.cancel(request)
                    raise Cancelled
                for completion in driver.step():
                    if completion.error is not None:
                        try:
                            raise completion.error
                        finally:
                            # Held here, it would hold the request until a collection.
                            del completion
                    if completion.response is not None:
                        return completion.response

    def close(self) -> None:
        """Close the connections; those in use are closed after their request."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for driver in idle:
            driver.close()

    @contextlib.contextmanager
    def _driver(self) -> Iterator[CurlDriver]:
        with self._lock:
            driver = self._idle.pop() if self._idle else None
        if driver is None:
            driver = CurlDriver(self._options, self._rate_limit, share=self._share)
        try:
            yield driver
        finally:
            with self._lock:
                # What was interrupted in the middle of a request is not used again.
                is_reusable = not driver.in_flight and not self._is_closed
                if is_reusable:
                    self._idle.append(driver)
            if not is_reusable:
                driver.close()
