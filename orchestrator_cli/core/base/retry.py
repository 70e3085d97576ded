"""When a request that failed is sent again, and after how long: one policy for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self, TypeVar

from orchestrator_cli.core.base.cancellation import CancelToken, current_token, run_cancellable
from orchestrator_cli.core.base.errors import InterruptedByUser, OrchestratorError, UnavailableError
from orchestrator_cli.core.base.request_progress import MANY_IN_A_ROW, RequestProgress, Throttling

T = TypeVar("T")

# How long nothing may succeed while a server asks for fewer requests.
PATIENCE_SECONDS = 600.0
# A server that asks for a longer pause is asked again after this one.
_LONGEST_RETRY_AFTER_SECONDS = 60.0
# A server that drops requests because it has too many is asked so many times more often.
_TIMES_MORE_TRIES = 3


# Each method that a dataclass makes is compiled at every start.
@dataclass(frozen=True, eq=False, repr=False)
class RetryPolicy:
    """Exponential backoff with full jitter, on errors that are retryable.

    There are two limits. A server that asks for fewer requests (SlowDown) is asked again until no
    request of that kind has succeeded for `patience_seconds`: other clients share it, and whoever
    gives up first has lost. After that, each request is tried once until one succeeds. Everything
    else is tried `attempts` times, and half as often where the response did not come in time: with
    the defaults a refused connection is given up after 4 s on average and 8 s at most, a server
    that never answers after three minutes. What it does not answer after that is tried once.
    Where many requests of a kind fail while others succeed, each is tried three times as often.

    `recover` may do something about an error that is not retryable, as fetch new credentials, and
    returns True where that makes it worth another try.
    Setting `stop` ends every wait at once with InterruptedByUser.
    """

    attempts: int = 6
    first_wait_seconds: float = 0.25
    longest_wait_seconds: float = 8.0
    patience_seconds: float = field(default_factory=lambda: PATIENCE_SECONDS)
    stop: CancelToken = field(default_factory=CancelToken)
    map_error: Callable[[Exception, str], Exception] = lambda error, what: error
    recover: Callable[[OrchestratorError], bool] = lambda error: False
    on_retry: Callable[[OrchestratorError], None] | None = None
    clock: Callable[[], float] = time.monotonic
    progress: RequestProgress = field(default_factory=RequestProgress)

    def call(self, request: Callable[[], T], what: str) -> T:
        """Send a request until it succeeds or its error is final.

        Raises the library's exceptions only, besides what is a defect of the caller.
        """
        with Attempts(self) as attempts:
            while True:
                try:
                    result = self.once(request, what)
                except OrchestratorError as error:
                    seconds = attempts.wait_after(error)
                else:
                    self.note_progress()
                    return result
                self.wait(seconds)

    def once(self, request: Callable[[], T], what: str) -> T:
        """Send a request once. Raises the library's exceptions."""
        self.check_stopped()
        try:
            return run_cancellable(request)
        except Exception as error:
            mapped = self.map_error(error, what)
            if mapped is error:
                raise
            raise mapped from error

    def note_progress(self, kind: str = "") -> None:
        """Note that a request of this kind has succeeded: patience begins anew."""
        self.progress.succeed(kind, self.clock())

    def check_stopped(self) -> None:
        """Raise InterruptedByUser once the user has asked to stop."""
        if self.token.is_set():
            raise InterruptedByUser("interrupted")

    def wait(self, seconds: float) -> None:
        """Wait, or raise InterruptedByUser as soon as the user asks to stop."""
        self.token.wait(seconds)
        self.check_stopped()

    def wait_jitter(self, at_least: float = 0) -> None:
        """Wait for a random time, so that writers that collided do not collide again.

        It is between `at_least` and `at_least` + 1 times the first wait of the backoff.
        """
        self.wait(self.jitter_seconds(at_least))

    def jitter_seconds(self, at_least: float = 0) -> float:
        """Return how long `wait_jitter` waits."""
        from random import uniform

        return uniform(at_least, at_least + 1) * self.first_wait_seconds

    def backoff_seconds(self, failures: int) -> float:
        """Return a random wait after so many failures: full jitter over an exponential backoff."""
        # Imported on the first failure only: a request that succeeds does not pay for it.
        from tenacity import RetryCallState, Retrying, wait_random_exponential

        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = failures
        full_jitter = wait_random_exponential(
            multiplier=self.first_wait_seconds, max=self.longest_wait_seconds
        )
        return full_jitter(state)

    @property
    def token(self) -> CancelToken:
        """The token that stops requests of this thread."""
        return current_token() or self.stop


def without_retries() -> RetryPolicy:
    """Return a policy that sends no request twice."""
    return RetryPolicy(attempts=1, patience_seconds=0)


def growing_waits(first_seconds: float, longest_seconds: float) -> Iterator[float]:
    """Yield ever longer waits between looks at something that takes its time."""
    seconds = first_seconds
    while True:
        yield seconds
        seconds = min(2 * seconds, longest_seconds)


class Attempts:
    """The failed tries of one request; a context manager for as long as it is waited for.

    For `kind` see `RequestProgress`. The response to one that `takes_long` is not expected soon,
    until a try has failed.
    """

    def __init__(self, policy: RetryPolicy, kind: str = "", *, takes_long: bool = False) -> None:
        self._policy = policy
        self._kind = kind
        self._takes_long = takes_long
        self._sent_at = policy.clock()
        self._failures = 0
        # Without those by throttling, which patience limits.
        self._counted_failures = 0
        self._failed_at = 0.0
        self._throttling: Throttling | None = None

    def __enter__(self) -> Self:
        if not self._takes_long:
            self._policy.progress.begin(self, self._sent_at)
        return self

    def __exit__(self, *_: object) -> None:
        self._policy.progress.end(self)

    def wait_after(self, error: OrchestratorError) -> float:
        """Return how many seconds to wait before the next try. Raises a final error."""
        seconds = self.seconds_after(error)
        if seconds is None:
            raise error
        return seconds

    def seconds_after(self, error: OrchestratorError) -> float | None:
        """Return how many seconds to wait before the next try; None where the error is final."""
        now = self._policy.clock()
        if not self._failures:
            self._failed_at = now
            if self._takes_long:
                self._policy.progress.begin(self, now)
        self._failures += 1
        self._throttling = None
        if error.is_throttled:
            self._throttling = self._policy.progress.throttle(self._kind, self._sent_at, now)
        else:
            self._counted_failures += self._tries_used(error)
            if isinstance(error, UnavailableError) and error.retryable and not error.is_timeout:
                self._policy.progress.fail(self, self._kind, now)
        since = self._failed_at if self._throttling is None else self._throttling.since
        patience_left = self._policy.patience_seconds - (now - since)
        if not self._is_worth_another(error, patience_left):
            self._give_up(error)
            return None
        if self._policy.on_retry is not None:
            self._policy.on_retry(error)
        seconds = self._wait_seconds(error, max(0.0, patience_left))
        self._sent_at = now + seconds
        if self._throttling is not None:
            self._throttling.until = max(self._throttling.until, self._sent_at)
        return seconds

    @property
    def is_one_of_many(self) -> bool:
        """Return True where many requests of this kind fail while others succeed."""
        policy = self._policy
        since = policy.clock() - 2 * policy.longest_wait_seconds
        return policy.progress.drops_many(self._kind, since)

    @property
    def nothing_succeeds(self) -> bool:
        """Return True where no request at all has succeeded since this one first failed."""
        return self._failures > 0 and self._policy.progress.succeeded_at < self._failed_at

    @property
    def has_used_up_patience(self) -> bool:
        """Return True where many requests of this kind in a row were throttled for too long."""
        given_up = self._throttling.given_up if self._throttling is not None else 0
        return self._policy.patience_seconds > 0 and given_up >= MANY_IN_A_ROW

    def note_unreached(self) -> bool:
        """Note that what answers may not be the server; return True where that is so for all."""
        progress = self._policy.progress
        progress.unreached += 1
        return progress.succeeded_at == float("-inf") or progress.unreached >= MANY_IN_A_ROW

    def _tries_used(self, error: OrchestratorError) -> int:
        """Return for how many tries one counts that failed so."""
        progress = self._policy.progress
        if error.is_timeout and (progress.unreached or self._kind in progress.unanswered):
            return self._policy.attempts  # somebody has waited for minutes already
        return 2 if error.is_timeout else 1

    def _is_worth_another(self, error: OrchestratorError, patience_left: float) -> bool:
        if error.is_throttled:
            return error.retryable and patience_left > 0
        tries = self._policy.attempts
        if patience_left > 0 and self._counted_failures >= tries and self.is_one_of_many:
            tries *= _TIMES_MORE_TRIES
        if self._counted_failures >= tries:
            return False
        return error.retryable or self._policy.recover(error)

    def _give_up(self, error: OrchestratorError) -> None:
        if not error.retryable:
            # "There is none" is an answer too.
            self._policy.progress.heard_at = self._policy.clock()
        if error.is_timeout:
            self._policy.progress.unanswered.add(self._kind)
        if self._throttling is not None:
            self._throttling.given_up += 1
            self._throttling.until = self._policy.clock()

    def _wait_seconds(self, error: OrchestratorError, patience_left: float) -> float:
        asked_for = error.retry_after_seconds or 0.0
        longest = min(_LONGEST_RETRY_AFTER_SECONDS, patience_left)
        return min(asked_for, longest) + self._policy.backoff_seconds(self._failures)
