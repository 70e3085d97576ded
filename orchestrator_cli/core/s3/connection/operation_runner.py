"""Runs operations: sends their requests, retries them, and names what went wrong.

The same operation runs blocking (`run`), or as one of thousands on a loop (`task`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from orchestrator_cli.core.base.errors import InterruptedByUser, OrchestratorError
from orchestrator_cli.core.base.retry import Attempts, RetryPolicy
from orchestrator_cli.core.http.transport import (
    Cancelled,
    Request,
    Response,
    Sleep,
    Task,
    Transport,
    TransportError,
    TransportErrorKind,
    Waitable,
)
from orchestrator_cli.core.s3.error_codes import NotS3Error
from orchestrator_cli.core.s3.errors import map_exception
from orchestrator_cli.core.s3.operations.request import Operation, OperationRequest

T = TypeVar("T")

# Failures that precede any request. A connection that breaks or is silent may be due to one object.
_OUT_OF_REACH = frozenset(TransportErrorKind) - {
    TransportErrorKind.STALLED,
    TransportErrorKind.BROKEN,
    TransportErrorKind.TRUNCATED,
    TransportErrorKind.MALFORMED,
    TransportErrorKind.TOO_LARGE,
    TransportErrorKind.TOO_SLOW,
}


class RequestCodec(Protocol):
    """Translates an operation's request into an HTTP request, and the response back."""

    @property
    def request_types(self) -> tuple[type[Any], ...]:
        """The types of requests that this codec translates."""
        ...

    def encode(self, request: Any, /) -> Task[Request]:
        """Return the HTTP request for one try. It may have to ask for a URL first."""
        ...

    def decode(self, request: Any, response: Response, /) -> Any:
        """Return the response to hand to the operation. Raises the error that it stands for."""
        ...


class OperationRunner:
    """Runs operations of one kind of requests. Safe to share between threads.

    `min_latency_seconds` is how long the quickest response has taken; None before the first.
    """

    def __init__(
        self, codec: RequestCodec, transport: Callable[[], Transport], retry: RetryPolicy
    ) -> None:
        """`transport` makes the transport of `run`, when it is first needed."""
        self._codec = codec
        self._request_types = codec.request_types
        self._make_transport = transport
        self._retry = retry
        self.min_latency_seconds: float | None = None

    def run(self, operation: Operation[T]) -> T:
        """Run an operation and wait for its result. Raises the library's exceptions."""
        return run_task(self.task(operation), self._make_transport(), self._retry)

    def task(
        self, operation: Operation[T], on_throttled: Callable[[], object] | None = None
    ) -> Task[T]:
        """Return an operation as a task for a loop.

        `on_throttled` is called where the server asks for fewer requests.
        """
        answer: object = None
        # In no variable of its own: an error holds the frames that it came through, and so the
        # requests and their bodies; if one of these held it, all would stay until a collection.
        failures: list[Exception] = []
        with contextlib.closing(operation):
            while True:
                try:
                    step = operation.throw(failures.pop()) if failures else operation.send(answer)
                except StopIteration as end:
                    return cast("T", end.value)
                except NotS3Error as error:
                    if isinstance(answer, Response):
                        error.name_peer(answer.peer)
                    raise
                # A failure is not about the response before, whose sender may be another.
                answer = None
                try:
                    if isinstance(step, self._request_types):
                        answer = yield from self._send(step, on_throttled)
                    else:
                        answer = yield cast("Sleep | Waitable", step)
                except Exception as error:  # noqa: BLE001 - the operation decides
                    failures.append(error)

    def _send(
        self, request: OperationRequest, on_throttled: Callable[[], object] | None
    ) -> Task[Any]:
        """Send a request until it succeeds or its error is final."""
        with Attempts(self._retry, request.kind, takes_long=request.takes_long) as attempts:
            while True:
                try:
                    return (yield from self._try(request))
                except OrchestratorError as failure:
                    if failure.is_throttled and on_throttled is not None:
                        on_throttled()
                    if failure.retryable and request.before_retry is not None:
                        yield from self.task(request.before_retry(failure), on_throttled)
                    seconds = self._seconds_after(request, failure, attempts)
                    if seconds is None:
                        raise
                    if attempts.is_one_of_many and on_throttled is not None:
                        on_throttled()
                yield Sleep(seconds)

    def _try(self, request: OperationRequest) -> Task[Any]:
        """Send a request once. Raises the library's exceptions."""
        try:
            response = yield (yield from self._codec.encode(request))
            try:
                accepted = self._codec.decode(request, response)
            except NotS3Error as error:
                error.name_peer(response.peer)
                raise
        except Exception as error:  # noqa: BLE001 - raised again, by another name where it has one
            mapped = map_request_error(error, request.what)
            try:
                if mapped is error:
                    raise
                raise mapped from error
            finally:
                # This frame is one of those that it holds.
                del mapped
        self._retry.note_progress(request.kind)
        self.min_latency_seconds = min(
            self.min_latency_seconds or response.seconds, response.seconds
        )
        return accepted

    def _seconds_after(
        self, request: OperationRequest, failure: OrchestratorError, attempts: Attempts
    ) -> float | None:
        """Return how long to wait before the next try; None where the failure is final."""
        if not request.is_retried:
            return None
        seconds = attempts.seconds_after(failure)
        if seconds is None and not failure.is_fatal:
            _note_if_all_fail(failure, attempts)
        return seconds


def run_task(task: Task[T], transport: Transport, retry: RetryPolicy) -> T:
    """Run a task, one request after the other, and return its result."""
    with contextlib.closing(task):
        try:
            step = next(task)
            while True:
                retry.check_stopped()
                step = _advance(task, step, transport, retry)
        except StopIteration as end:
            return cast("T", end.value)


def _advance(
    task: Task[T], step: Request | Sleep | Waitable, transport: Transport, retry: RetryPolicy
) -> Request | Sleep | Waitable:
    """Do one step of a task and return its next one."""
    try:
        if isinstance(step, Sleep):
            retry.wait(step.seconds)
            result = None
        elif isinstance(step, Request):
            result = transport.send(step)
        else:
            result = step.result()
    except Exception as error:  # noqa: BLE001 - the task decides
        return task.throw(error)
    return task.send(result)


def map_request_error(error: Exception, what: str) -> Exception:
    """Return the library's exception for a failed request, or the same error if it is not one."""
    if isinstance(error, Cancelled):
        return InterruptedByUser("interrupted")
    return map_exception(error, what)


def _note_if_all_fail(failure: OrchestratorError, attempts: Attempts) -> None:
    """Note of a final failure where every other request would fail as well."""
    cause = failure.__cause__
    kind = cause.kind if isinstance(cause, TransportError) else None
    if kind in _OUT_OF_REACH:
        failure.is_fatal = attempts.nothing_succeeds
    elif failure.is_timeout or isinstance(failure, NotS3Error):
        failure.is_fatal = attempts.nothing_succeeds and attempts.note_unreached()
        failure.is_inferred = failure.is_fatal
    elif attempts.has_used_up_patience:
        failure.is_fatal = failure.is_inferred = True
