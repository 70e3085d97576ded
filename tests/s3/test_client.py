"""One request of an operation is signed, retried and given up in one place, however it is run."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from orchestrator_cli.core.base.cancellation import CancelToken
from orchestrator_cli.core.base.errors import (
    InterruptedByUser,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
)
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.http.transport import (
    Cancelled,
    Response,
    Sleep,
    TransportError,
    TransportErrorKind,
)
from orchestrator_cli.core.s3.operations.request import (
    Operation,
    S3Request,
    SignedBody,
    Sink,
    fetch,
    http_request,
)
from tests.support.servers.canned import answer, canned

BUSY = answer("<Error><Code>InternalError</Code></Error>", 500)
SLOW_DOWN = answer("<Error><Code>SlowDown</Code></Error>", 503, {"retry-after": "7"})
NOT_FOUND = answer("<Error><Code>NoSuchKey</Code></Error>", 404)


def refused() -> TransportError:
    return TransportError("connection refused", TransportErrorKind.REFUSED)


def broken() -> TransportError:
    return TransportError("the connection broke", TransportErrorKind.BROKEN)


def get(key: str = "k", **fields: object) -> S3Request:
    return S3Request("GET", key, f"read of {key}", **fields)  # type: ignore[arg-type]


def body_of(key: str = "k") -> Operation[bytes]:
    response: Response = yield get(key)
    return bytes(response.body)


def waits_of(task: Iterator[object], responses: list[Response]) -> list[float]:
    """Run a task as a loop does, and return how long it wanted to wait."""
    waits: list[float] = []
    step = next(task)
    while True:
        try:
            if isinstance(step, Sleep):
                waits.append(step.seconds)
                step = next(task)
            else:
                step = task.send(responses.pop(0))  # type: ignore[attr-defined]
        except StopIteration:
            return waits


def test_every_try_is_signed_anew() -> None:
    client, transport = canned([BUSY, broken(), answer(b"content")])
    assert client.run(body_of()) == b"content"
    assert len(transport.requests) == 3
    assert len({id(request.headers) for request in transport.requests}) == 3
    assert all("authorization" in request.headers for request in transport.requests)


def test_what_is_final_is_thrown_into_the_operation() -> None:
    def first_of(*keys: str) -> Operation[bytes]:
        for key in keys:
            try:
                return (yield from body_of(key))
            except NotFoundError:
                continue
        return b""

    client, _ = canned([NOT_FOUND, answer(b"second")])
    assert client.run(first_of("a", "b")) == b"second"


class Held:
    """The body of a request, of which is known whether it still exists."""

    size_bytes = 0

    def read(self, size: int, /) -> bytes:
        return b""

    def rewind(self) -> None:
        pass


@pytest.mark.parametrize("fail", [lambda: BUSY, broken, lambda: NOT_FOUND])
def test_what_has_failed_is_not_kept_by_its_error(
    fail: Callable[[], Response | TransportError],
) -> None:
    """Hundreds of requests that are throttled would else keep their bodies until a collection."""
    held: list[weakref.ref[Held]] = []

    def send() -> Operation[None]:
        body = Held()
        held.append(weakref.ref(body))
        with contextlib.suppress(NotFoundError):
            yield get(body=SignedBody(body, 0, "0" * 64))

    gc.disable()
    try:
        client, transport = canned([fail(), answer()])
        client.run(send())
        transport.requests.clear()
        assert held[0]() is None
    finally:
        gc.enable()


def test_a_response_that_is_not_believed_is_asked_for_again() -> None:
    def parse(response: Response) -> int:
        if not response.body:
            raise UnavailableError("empty", retryable=True)
        return len(response.body)

    client, transport = canned([answer(b""), answer(b"xyz")])
    assert client.run(fetch(get(), parse)) == 3
    assert len(transport.requests) == 2


def test_each_try_begins_its_sink_anew() -> None:
    tries: list[list[bytes]] = []

    def open_sink() -> Sink:
        tries.append([])
        return tries[-1].append

    def operation() -> Operation[None]:
        request = get(open_sink=open_sink)
        seen: list[int] = []

        def check(response: Response) -> None:
            seen.append(response.status)
            if len(seen) == 1:
                raise UnavailableError("once more", retryable=True)

        request.check = check
        yield request

    client, _ = canned([answer(b"one"), answer(b"two")])
    client.run(operation())
    assert tries == [[b"one"], [b"two"]]


def test_what_runs_before_the_next_try_may_end_it() -> None:
    def gone(error: OrchestratorError) -> Operation[None]:
        yield from body_of("is it there?")
        raise NotFoundError("the upload was ended") from error

    def operation() -> Operation[None]:
        yield get(before_retry=gone)

    client, transport = canned([BUSY, answer(b"no")])
    with pytest.raises(NotFoundError, match="was ended"):
        client.run(operation())
    assert len(transport.requests) == 2


def test_a_request_that_is_not_retried_is_sent_once() -> None:
    def operation() -> Operation[None]:
        yield get(is_retried=False)

    client, transport = canned([BUSY])
    with pytest.raises(UnavailableError):
        client.run(operation())
    assert len(transport.requests) == 1


def test_a_loop_is_told_to_slow_down_and_how_long_to_rest() -> None:
    client, _ = canned([BUSY], RetryPolicy(patience_seconds=60))
    told: list[bool] = []
    task = client.task(body_of(), on_throttled=lambda: told.append(True))
    waits = waits_of(task, [BUSY, SLOW_DOWN, answer(b"content")])
    assert told == [True]
    assert waits[0] <= 0.25
    assert 7 <= waits[1] <= 7.5


def test_closing_a_task_closes_its_operation() -> None:
    closed: list[bool] = []

    def operation() -> Operation[None]:
        try:
            yield get()
        finally:
            closed.append(True)

    client, _ = canned([BUSY])
    task = client.task(operation())
    next(task)
    task.close()
    assert closed == [True]


def test_work_that_is_cancelled_was_interrupted_by_the_user() -> None:
    client, transport = canned([Cancelled()])
    with pytest.raises(InterruptedByUser):
        client.run(body_of())
    assert len(transport.requests) == 1


def test_nothing_is_sent_once_the_work_should_stop() -> None:
    stop = CancelToken()
    stop.set()
    client, transport = canned([answer(b"content")], RetryPolicy(stop=stop))
    with pytest.raises(InterruptedByUser):
        client.run(body_of())
    assert transport.requests == []


def test_a_defect_is_raised_as_it_is() -> None:
    client, transport = canned([ValueError("a defect")])
    with pytest.raises(ValueError, match="a defect"):
        client.run(body_of())
    assert len(transport.requests) == 1


# --- what concerns every object --------------------------------------------------------------


def test_an_endpoint_that_nobody_reaches_ends_the_run() -> None:
    client, transport = canned([refused()])
    with pytest.raises(UnavailableError) as caught:
        client.run(body_of())
    assert caught.value.is_fatal
    assert len(transport.requests) == 3


def test_what_is_not_s3_ends_the_run_where_nothing_succeeds() -> None:
    page = answer("<html>Log in</html>", 403, {"content-type": "text/html"})
    client, _ = canned([page])
    with pytest.raises(UnavailableError, match="what answered is not S3") as caught:
        client.run(body_of())
    assert caught.value.is_fatal


@pytest.mark.parametrize(
    "failure",
    [
        BUSY,
        broken(),
        answer("<Error><Code>AccessDenied</Code></Error>", 403),
        answer("<Error><Code>NoSuchKey</Code></Error>", 404),
    ],
    ids=["500", "broken", "403", "404"],
)
def test_what_is_wrong_with_one_object_does_not(failure: Response | Exception) -> None:
    client, _ = canned([failure])
    with pytest.raises(OrchestratorError) as caught:
        client.run(body_of())
    assert not caught.value.is_fatal


def test_a_bucket_that_is_not_there_does() -> None:
    client, _ = canned([answer("<Error><Code>NoSuchBucket</Code></Error>", 404)])
    with pytest.raises(NotFoundError) as caught:
        client.run(body_of())
    assert caught.value.is_fatal


# --- what answers in place of S3 -------------------------------------------------------------


def test_a_redirect_without_s3s_xml_says_where_it_points() -> None:
    headers = {"location": "https://login.example.test/?next=http%3A&token=SECRET"}
    client, _ = canned([answer("Moved", 302, headers)])
    with pytest.raises(UnavailableError) as caught:
        client.run(body_of())
    assert caught.value.message.endswith(
        "what answered is not S3: it redirects to https://login.example.test"
    )


def test_a_redirect_of_s3_names_the_region() -> None:
    body = "<Error><Code>PermanentRedirect</Code></Error>"
    client, _ = canned([answer(body, 301, {"x-amz-bucket-region": "eu-west-1"})])
    with pytest.raises(OrchestratorError, match="eu-west-1") as caught:
        client.run(body_of())
    assert caught.value.is_fatal


def test_every_request_has_a_limit_for_its_response() -> None:
    """Whose body may take long to send is not hurried: the limit begins after that."""
    put = http_request(S3Request("PUT", "k", "upload of k"), "http://s3.test/k", {})
    assert (put.total_timeout_seconds, put.response_timeout_seconds) == (None, 60)
    look = S3Request("HEAD", "k", "look at k", total_timeout_seconds=120)
    sent = http_request(look, "http://s3.test/k", {})
    assert (sent.total_timeout_seconds, sent.response_timeout_seconds) == (120, None)
