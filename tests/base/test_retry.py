"""What can pass is sent again, after waits that end at once when the user asks to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from orchestrator_cli.core.base.cancellation import CancelToken
from orchestrator_cli.core.base.errors import (
    AccessError,
    ConflictError,
    InterruptedByUser,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UsageError,
)
from orchestrator_cli.core.base.request_progress import RequestProgress
from orchestrator_cli.core.base.retry import Attempts, RetryPolicy
from orchestrator_cli.core.s3.error_codes import EXPIRED_CODES
from orchestrator_cli.core.s3.errors import map_exception

BUSY = UnavailableError("busy", retryable=True)


class Stop(CancelToken):
    """A stop signal that notes the waits instead of waiting."""

    def __init__(self, set_in_wait: int = 0) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._set_in_wait = set_in_wait

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        if len(self.waits) == self._set_in_wait:
            self.set()
        return self.is_set()


class Request:
    """A request that fails with the given errors, one after the other, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.sent = 0

    def __call__(self) -> str:
        self.sent += 1
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


def expired(code: str = "ExpiredToken") -> AccessError:
    return AccessError("expired", code=code)


def recovering(refresh: Callable[[], bool]) -> Callable[[OrchestratorError], bool]:
    """As a session does: new credentials help where the old ones have expired."""
    return lambda error: error.code in EXPIRED_CODES and refresh()


def counted(answer: bool) -> tuple[Callable[[], bool], list[bool]]:
    calls: list[bool] = []

    def refresh() -> bool:
        calls.append(answer)
        return answer

    return refresh, calls


def test_what_succeeds_is_sent_once() -> None:
    stop, request = Stop(), Request()
    assert RetryPolicy(stop=stop).call(request, "read of k") == "answer"
    assert (request.sent, stop.waits) == (1, [])


@pytest.mark.parametrize("failures", range(1, 6))
def test_what_can_pass_is_sent_until_it_succeeds(failures: int) -> None:
    stop, request = Stop(), Request(*[BUSY] * failures)
    assert RetryPolicy(stop=stop).call(request, "read of k") == "answer"
    assert request.sent == failures + 1
    assert len(stop.waits) == failures


@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_the_last_error_is_raised_after_the_last_attempt(attempts: int) -> None:
    errors = [UnavailableError(f"failure {number}", retryable=True) for number in range(1, 9)]
    stop, request = Stop(), Request(*errors)
    with pytest.raises(UnavailableError, match=f"failure {attempts}$"):
        RetryPolicy(attempts=attempts, stop=stop).call(request, "read of k")
    assert request.sent == attempts
    assert len(stop.waits) == attempts - 1


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("untrusted certificate"),
        NotFoundError("not found", code="NoSuchKey"),
        ConflictError("taken"),
        AccessError("denied", code="AccessDenied"),
        expired(),
        UsageError("wrong"),
        OrchestratorError("other"),
    ],
)
def test_what_is_final_is_raised_at_once(error: OrchestratorError) -> None:
    stop, request = Stop(), Request(error)
    with pytest.raises(type(error)) as raised:
        RetryPolicy(stop=stop).call(request, "read of k")
    assert raised.value is error
    assert (request.sent, stop.waits) == (1, [])


def test_what_becomes_final_is_raised_then() -> None:
    stop, request = Stop(), Request(BUSY, BUSY, NotFoundError("not found"))
    with pytest.raises(NotFoundError):
        RetryPolicy(stop=stop).call(request, "read of k")
    assert (request.sent, len(stop.waits)) == (3, 2)


def test_a_conflict_that_can_pass_is_sent_again() -> None:
    request = Request(ConflictError("under way", retryable=True))
    assert RetryPolicy(stop=Stop()).call(request, "write of k") == "answer"
    assert request.sent == 2


def test_errors_of_a_client_are_translated_and_judged() -> None:
    response = {"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
    failure = ClientError(response, "GetObject")  # type: ignore[arg-type]
    request = Request(failure)
    policy = RetryPolicy(stop=Stop(), map_error=map_exception)
    assert policy.call(request, "read of k") == "answer"
    failing = Request(*[failure] * 9)
    with pytest.raises(UnavailableError, match="read of k: ") as raised:
        policy.call(failing, "read of k")
    assert raised.value.__cause__ is failure
    assert (request.sent, failing.sent) == (2, 6)


# --- a server that asks for fewer requests ---------------------------------------------------


def throttled(retry_after_seconds: float | None = None) -> UnavailableError:
    error = UnavailableError("slow down", code="SlowDown", retryable=True)
    error.is_throttled = True
    error.retry_after_seconds = retry_after_seconds
    return error


class Clock:
    """Time that passes by waiting only."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.skipped = 0.0

    def __call__(self) -> float:
        return sum(self.stop.waits) + self.skipped


def test_patience_and_not_the_number_of_tries_limits_being_throttled() -> None:
    stop = Stop()
    request = Request(*[throttled()] * 40)
    policy = RetryPolicy(stop=stop, clock=Clock(stop), patience_seconds=1e6)
    assert policy.call(request, "write of k") == "answer"
    assert request.sent == 41


def test_patience_ends_where_nothing_succeeds_for_so_long() -> None:
    stop = Stop()
    policy = RetryPolicy(stop=stop, clock=Clock(stop), patience_seconds=600)
    with pytest.raises(UnavailableError):
        policy.call(Request(*[throttled()] * 10_000), "write of k")
    assert 600 <= sum(stop.waits) < 620


def test_what_others_store_meanwhile_is_progress() -> None:
    stop = Stop()
    clock = Clock(stop)

    def note(_: OrchestratorError) -> None:
        clock.skipped += 9
        policy.note_progress()

    policy = RetryPolicy(stop=stop, clock=clock, patience_seconds=20, on_retry=note)
    request = Request(*[throttled()] * 50)
    assert policy.call(request, "write of k") == "answer"
    assert clock() > 400


def test_being_throttled_uses_up_no_attempt() -> None:
    errors = [*[throttled()] * 20, *[BUSY] * 5]
    request = Request(*errors)
    assert RetryPolicy(stop=Stop()).call(request, "write of k") == "answer"


def test_a_server_is_given_the_rest_that_it_asks_for_up_to_a_minute() -> None:
    stop = Stop()
    request = Request(throttled(7), throttled(99_999))
    assert RetryPolicy(stop=stop).call(request, "write of k") == "answer"
    first, second = stop.waits
    assert 7 <= first <= 7.25
    assert 60 <= second <= 60.5


def test_a_defect_is_neither_translated_nor_sent_again() -> None:
    request = Request(ValueError("a defect"))
    with pytest.raises(ValueError, match="a defect"):
        RetryPolicy(stop=Stop()).call(request, "read of k")
    assert request.sent == 1
    later = Request(BUSY, ValueError("a defect"))
    with pytest.raises(ValueError, match="a defect"):
        RetryPolicy(stop=Stop()).call(later, "read of k")
    assert later.sent == 2


# --- waits -----------------------------------------------------------------------------------


def test_waits_grow_at_random_up_to_a_limit() -> None:
    highest = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    seen: list[list[float]] = []
    for _ in range(40):
        stop = Stop()
        with pytest.raises(UnavailableError):
            RetryPolicy(attempts=9, stop=stop).call(Request(*[BUSY] * 9), "read of k")
        seen.append(stop.waits)
    for column, limit in zip(zip(*seen, strict=True), highest, strict=True):
        assert all(0 <= wait <= limit for wait in column)
        # Full jitter: waits are spread over the whole range, so that clients do not march in step.
        assert min(column) < limit / 2 < max(column)


def test_an_endpoint_that_is_down_is_given_up_in_bounded_time() -> None:
    stop = Stop()
    with pytest.raises(UnavailableError):
        RetryPolicy(stop=stop).call(Request(*[BUSY] * 9), "read of k")
    assert sum(stop.waits) <= 8


def test_writers_that_collided_wait_a_random_moment() -> None:
    stop = Stop()
    policy = RetryPolicy(stop=stop, first_wait_seconds=0.25)
    for _ in range(40):
        policy.wait_jitter()
    assert all(0 <= wait <= 0.25 for wait in stop.waits)
    assert len(set(stop.waits)) > 1


def test_each_wait_is_told_with_its_reason() -> None:
    told: list[OrchestratorError] = []
    errors = [UnavailableError(str(number), retryable=True) for number in range(3)]
    RetryPolicy(stop=Stop(), on_retry=told.append).call(Request(*errors), "read of k")
    assert told == errors


def test_the_end_is_not_told_as_a_retry() -> None:
    told: list[OrchestratorError] = []
    policy = RetryPolicy(attempts=3, stop=Stop(), on_retry=told.append)
    with pytest.raises(UnavailableError):
        policy.call(Request(*[BUSY] * 9), "read of k")
    assert len(told) == 2


# --- stopping --------------------------------------------------------------------------------


def test_nothing_is_sent_once_the_user_asked_to_stop() -> None:
    stop, request = Stop(), Request()
    policy = RetryPolicy(stop=stop)
    policy.check_stopped()
    stop.set()
    with pytest.raises(InterruptedByUser):
        policy.call(request, "read of k")
    with pytest.raises(InterruptedByUser):
        policy.check_stopped()
    assert request.sent == 0


@pytest.mark.parametrize("wait", [1, 3])
def test_stopping_ends_the_wait_and_sends_nothing_more(wait: int) -> None:
    stop, request = Stop(set_in_wait=wait), Request(*[BUSY] * 9)
    with pytest.raises(InterruptedByUser):
        RetryPolicy(stop=stop).call(request, "read of k")
    assert request.sent == wait
    with pytest.raises(InterruptedByUser):
        RetryPolicy(stop=stop).wait_jitter()


def test_a_stop_ends_a_real_wait_at_once() -> None:
    stop = CancelToken()
    # If it did not, this would last until the test's time limit.
    policy = RetryPolicy(
        stop=stop, first_wait_seconds=1e6, longest_wait_seconds=1e6, on_retry=lambda _: stop.set()
    )
    with pytest.raises(InterruptedByUser):
        policy.call(Request(BUSY), "read of k")


# --- credentials -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"]
)
def test_expired_credentials_are_refreshed_once_and_the_request_sent_again(code: str) -> None:
    refresh, calls = counted(answer=True)
    request = Request(expired(code))
    policy = RetryPolicy(stop=Stop(), recover=recovering(refresh))
    assert policy.call(request, "read of k") == "answer"
    assert (request.sent, len(calls)) == (2, 1)


def test_credentials_that_expire_again_are_refreshed_again() -> None:
    refresh, calls = counted(answer=True)
    request = Request(BUSY, expired(), BUSY, expired())
    policy = RetryPolicy(stop=Stop(), recover=recovering(refresh))
    assert policy.call(request, "read of k") == "answer"
    assert len(calls) == 2


def test_credentials_that_cannot_be_refreshed_are_final() -> None:
    refresh, calls = counted(answer=False)
    request = Request(expired())
    with pytest.raises(AccessError):
        RetryPolicy(stop=Stop(), recover=recovering(refresh)).call(request, "read of k")
    assert (request.sent, len(calls)) == (1, 1)


def test_refreshing_without_end_is_bounded() -> None:
    refresh, calls = counted(answer=True)
    request = Request(*[expired()] * 99)
    with pytest.raises(AccessError):
        RetryPolicy(stop=Stop(), recover=recovering(refresh)).call(request, "read of k")
    assert request.sent == 6
    assert len(calls) <= 6


def test_denied_access_is_no_reason_to_refresh() -> None:
    refresh, calls = counted(answer=True)
    request = Request(AccessError("denied", code="AccessDenied"))
    with pytest.raises(AccessError):
        RetryPolicy(stop=Stop(), recover=recovering(refresh)).call(request, "read of k")
    assert (request.sent, calls) == (1, [])


def test_there_is_none_is_an_answer_too() -> None:
    """A bucket without rules answers 404, and a user may take long to say yes afterwards."""
    now = [0.0]
    policy = RetryPolicy(clock=lambda: now[0])

    def refuse() -> None:
        assert policy.progress.silent_seconds(2.0) == 2.0
        raise NotFoundError("no rules")

    with pytest.raises(NotFoundError):
        policy.call(refuse, "read of rules")
    assert policy.progress.is_answered
    now[0] = 60.0
    assert policy.progress.silent_seconds(now[0]) == 0


def test_a_server_that_is_away_has_not_answered_when_a_request_is_given_up() -> None:
    policy = RetryPolicy(attempts=1, clock=lambda: 60.0)

    def refuse() -> None:
        raise UnavailableError("connection refused", retryable=True)

    with pytest.raises(UnavailableError):
        policy.call(refuse, "read of k")
    assert not policy.progress.is_answered


# --- many requests under one policy ----------------------------------------------------------


def test_patience_is_that_of_all_requests_of_a_kind_together() -> None:
    stop = Stop()
    clock = Clock(stop)
    policy = RetryPolicy(stop=stop, clock=clock, patience_seconds=100)
    assert give_up(policy, stop, "create") > 10
    assert 100 <= clock() < 110
    # What comes after it has one try.
    assert [give_up(policy, stop, "create") for _ in range(3)] == [1, 1, 1]
    # So has what was never sent before, as nothing at all has succeeded.
    assert give_up(policy, stop, "GET") == 1
    # Reading says nothing of writing, and writing does.
    policy.note_progress("GET")
    assert give_up(policy, stop, "create") == 1
    policy.note_progress("create")
    assert give_up(policy, stop, "create") > 10
    # A while later, as in the next pass of a watch, it begins anew.
    clock.skipped += 60
    assert give_up(policy, stop, "create") > 10


def test_many_that_are_given_up_in_a_row_are_the_failure_of_all() -> None:
    stop = Stop()
    policy = RetryPolicy(stop=stop, clock=Clock(stop), patience_seconds=100)

    def are_all(count: int) -> list[bool]:
        return [used_up(policy, stop) for _ in range(count)]

    assert are_all(5) == [False] * 5
    policy.note_progress("create")
    assert are_all(9) == [False] * 7 + [True] * 2


def give_up(policy: RetryPolicy, stop: Stop, kind: str) -> int:
    """Send a request that is throttled for ever, and return how often it was sent."""
    attempts = Attempts(policy, kind)
    sent = 0
    with contextlib.suppress(UnavailableError):
        while True:
            sent += 1
            stop.waits.append(attempts.wait_after(throttled()))
    return sent


def used_up(policy: RetryPolicy, stop: Stop) -> bool:
    """Send a request that is throttled for ever, and return whether all others would be."""
    attempts = Attempts(policy, "create")
    with contextlib.suppress(UnavailableError):
        while True:
            stop.waits.append(attempts.wait_after(throttled()))
    return attempts.has_used_up_patience


def test_a_server_is_given_no_more_rest_than_there_is_patience() -> None:
    stop = Stop()
    policy = RetryPolicy(stop=stop, clock=Clock(stop), patience_seconds=5)
    with pytest.raises(UnavailableError):
        policy.call(Request(*[throttled(600)] * 9), "write of k")
    assert 5 <= sum(stop.waits) < 6.5


def test_silence_is_counted_from_the_last_answer_while_a_response_is_due() -> None:
    now = [10.0]
    policy = RetryPolicy(stop=Stop(), clock=lambda: now[0])
    with Attempts(policy), Attempts(policy, takes_long=True) as large:
        assert policy.progress.silent_seconds(12.0) == 2.0
        now[0] = 15.0
        policy.note_progress("GET")
        assert policy.progress.silent_seconds(18.0) == 3.0
    assert policy.progress.silent_seconds(30.0) == 0
    # A large body may take long to send; a failure is told all the same.
    with large:
        assert policy.progress.silent_seconds(30.0) == 0
        now[0] = 30.0
        large.wait_after(BUSY)
        assert policy.progress.silent_seconds(34.0) == 4.0


def test_a_server_that_never_answers_is_asked_three_times() -> None:
    """Each try has taken a minute then."""
    silent = UnavailableError("did not answer in time", retryable=True)
    silent.is_timeout = True
    policy = RetryPolicy(stop=Stop())
    tries = []
    for _ in range(2):
        request = Request(*[silent] * 9)
        with pytest.raises(UnavailableError):
            policy.call(request, "read of k")
        tries.append(request.sent)
    # Whoever has waited for three minutes does not wait as long again.
    assert tries == [3, 1]


def test_a_server_that_drops_many_requests_is_asked_more_often_while_it_takes_others() -> None:
    clock = Clock(Stop())
    policy = RetryPolicy(clock=clock)
    with contextlib.ExitStack() as requests:
        many = [requests.enter_context(Attempts(policy, "create")) for _ in range(8)]
        alone = requests.enter_context(Attempts(policy, "list"))
        for number in range(17):
            policy.note_progress("create")
            for one in many:
                one.wait_after(BUSY)
            assert many[0].is_one_of_many
            assert not alone.is_one_of_many
            if number < 5:
                alone.wait_after(BUSY)
        with pytest.raises(UnavailableError):
            alone.wait_after(BUSY)
        # It takes none any more.
        clock.skipped += 60
        with pytest.raises(UnavailableError):
            many[0].wait_after(BUSY)
        policy.note_progress("create")
        for one in many[1:]:
            with pytest.raises(UnavailableError):
                one.wait_after(BUSY)


def test_a_request_may_end_while_another_thread_meets_a_failure_of_another_kind() -> None:
    progress = RequestProgress()

    class Interrupted:
        """A request; whenever it is looked for, the other thread has its turn."""

        kinds = 0

        def __hash__(self) -> int:
            Interrupted.kinds += 1
            progress.fail("another", f"kind {Interrupted.kinds}", 0.0)
            return 1

    request = Interrupted()
    progress.fail(request, "create", 0.0)
    progress.end(request)
    assert Interrupted.kinds > 2
