"""Drives libcurl's multi handle with a selector: many requests and timers in one thread."""

from __future__ import annotations

import errno
import os
import time
from typing import NamedTuple

import pycurl

from orchestrator_cli.core.base.cancellation import SIGNAL_POLL_SECONDS
from orchestrator_cli.core.http.curl.exchange import Exchange
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.curl.socket_watch import SocketWatch
from orchestrator_cli.core.http.curl.timers import Timers
from orchestrator_cli.core.http.transport import RateLimit, Request, Response, TransportErrorKind

# How often per stall timeout the requests are checked for progress.
_STALL_CHECKS = 8


class Completion(NamedTuple):
    """The end of a request, with its response or error, or of a timer, with neither."""

    tag: object
    response: Response | None = None
    error: BaseException | None = None


class _Active:
    """A request that is under way, and when something last moved in it."""

    __slots__ = ("began_at", "exchange", "moved_at", "progress", "sent_at", "tag")

    def __init__(self, exchange: Exchange, tag: object, began_at: float) -> None:
        self.exchange = exchange
        self.tag = tag
        self.began_at = self.moved_at = began_at
        self.progress: tuple[int, ...] | None = None
        self.sent_at: float | None = None


class CurlDriver:
    """Starts requests and timers, and tells which have ended. Only `wake` is for other threads."""

    def __init__(
        self,
        options: ClientOptions,
        rate_limit: RateLimit | None = None,
        *,
        max_connections: int = 4,
        share: pycurl.CurlShare | None = None,
    ) -> None:
        self._options = options
        self._rate_limit = rate_limit
        self._share = share
        self._watch = SocketWatch()
        self._multi = _new_multi()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch.watch_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._watch.set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_connections)
        self._idle: list[Exchange] = []
        self._active: dict[pycurl.Curl, _Active] = {}
        self._timers = Timers()
        self._next_check_at = 0.0
        self._check_seconds = options.stall_timeout_seconds / _STALL_CHECKS

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return len(self._active)

    def seconds_without_response(self) -> float:
        """Return how long ago the oldest request was seen to have been sent; 0 where it was not."""
        now = time.monotonic()
        for active in self._active.values():
            if active.sent_at is None and active.exchange.is_sent():
                active.sent_at = now
            return now - (active.sent_at or now)
        return 0.0

    def seconds_connecting(self) -> float:
        """Return for how long the oldest request has been connecting; 0 where it is not."""
        for active in self._active.values():
            resolved_seconds = active.exchange.seconds_to_resolve()
            if resolved_seconds is None:
                return 0.0
            return time.monotonic() - active.began_at - resolved_seconds
        return 0.0

    def start(self, request: Request, tag: object) -> None:
        """Start a request; `step` will return its completion with this tag.

        Raises InvalidRequestError, InvalidProxyError.
        """
        exchange = self._idle.pop() if self._idle else self._new_exchange()
        try:
            exchange.prepare(request, fresh=self._watch.is_tainted(only_idle=not self._active))
        except BaseException:
            exchange.release()
            self._idle.append(exchange)
            raise
        self._active[exchange.curl] = _Active(exchange, tag, time.monotonic())
        self._multi.add_handle(exchange.curl)

    def start_timer(self, seconds: float, tag: object) -> None:
        """Let `step` return a completion with this tag after so many seconds."""
        self._timers.add(tag, seconds)

    def cancel(self, tag: object) -> None:
        """Drop the request or timer with this tag, and the connection that it used."""
        for active in [one for one in self._active.values() if one.tag is tag]:
            self._release(active.exchange)
        self._timers.remove(tag)

    def step(self, *, wait: bool = True) -> list[Completion]:
        """Wait until something happens, unless told not to, and return what has ended."""
        for descriptor, action in self._watch.wait(self._wait_seconds() if wait else 0):
            self._multi.socket_action(descriptor, action)
        timer_at = self._watch.timer_at
        if timer_at is not None and timer_at <= time.monotonic():
            self._watch.timer_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        return [*self._ended(), *self._expired_timers(), *self._stalled()]

    def wake(self) -> None:
        """Let `step` return now. May be called from any thread."""
        self._watch.wake()

    def close(self) -> None:
        """Drop all pending work and close all connections."""
        for active in list(self._active.values()):
            self._release(active.exchange)
        for exchange in self._idle:
            exchange.close()
        self._idle.clear()
        self._timers.clear()
        self._multi.close()
        self._watch.close()

    def _new_exchange(self) -> Exchange:
        exchange = Exchange(self._options, self._rate_limit, self._timers.add)
        if self._share is not None:
            exchange.curl.setopt(pycurl.SHARE, self._share)
        return exchange

    def _release(self, exchange: Exchange) -> None:
        del self._active[exchange.curl]
        self._multi.remove_handle(exchange.curl)
        exchange.release()
        self._idle.append(exchange)

    def _wait_seconds(self) -> float:
        now = time.monotonic()
        # A signal that another thread takes does not end the wait of the main thread.
        until = now + SIGNAL_POLL_SECONDS
        for at in (self._watch.timer_at, self._timers.next_at):
            if at is not None and at < until:
                until = at
        if self._active and self._next_check_at < until:
            until = self._next_check_at
        return max(0.0, until - now)

    def _ended(self) -> list[Completion]:
        completions: list[Completion] = []
        left = 1
        while left:
            left, succeeded, failed = self._multi.info_read()
            completions += [self._complete(curl, 0) for curl in succeeded]
            completions += [self._complete(curl, code) for curl, code, _ in failed]
        return completions

    def _complete(self, curl: pycurl.Curl, code: int) -> Completion:
        active = self._active[curl]
        try:
            response = active.exchange.finish(code)
        except BaseException as error:  # noqa: BLE001 - handed to the caller that sent the request
            return Completion(active.tag, error=error)
        finally:
            self._release(active.exchange)
        return Completion(active.tag, response)

    def _expired_timers(self) -> list[Completion]:
        completions = []
        for tag in self._timers.pop_expired():
            if not isinstance(tag, Exchange):
                completions.append(Completion(tag))
            elif tag.is_paused:
                tag.resume()
        return completions

    def _stalled(self) -> list[Completion]:
        """Drop the requests that make no progress, or are answered too slowly, and return them."""
        now = time.monotonic()
        if now < self._next_check_at:
            return []
        self._next_check_at = now + self._check_seconds
        completions = []
        for active in list(self._active.values()):
            kind = self._overdue(active, now)
            if kind is not None:
                completions.append(Completion(active.tag, error=active.exchange.overdue(kind)))
                self._release(active.exchange)
        return completions

    def _overdue(self, active: _Active, now: float) -> TransportErrorKind | None:
        """Return why a request is not waited for any longer."""
        exchange = active.exchange
        progress = exchange.progress()
        if progress is None or progress != active.progress:
            active.progress, active.moved_at = progress, now
        elif now - active.moved_at >= self._options.stall_timeout_seconds:
            return TransportErrorKind.STALLED
        if active.sent_at is None and exchange.is_sent():
            active.sent_at = now
        limit, sent_at = exchange.response_timeout_seconds, active.sent_at
        is_late = limit is not None and sent_at is not None and now - sent_at >= limit
        return TransportErrorKind.TOO_SLOW if is_late else None


def _new_multi() -> pycurl.CurlMulti:
    try:
        return pycurl.CurlMulti()
    except pycurl.error as error:
        # libcurl does not say why; what it needs at first is a few descriptors.
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error
