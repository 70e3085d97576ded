"""When and how a request is sent again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator_cli.core.base.aside import aside
from orchestrator_cli.core.base.cancellation import CancelToken, current_token
from orchestrator_cli.core.base.errors import AccessError, InterruptedByUser, OrchestratorError
from orchestrator_cli.core.s3.error_codes import EXPIRED_CODES
from orchestrator_cli.core.s3.errors import map_exception

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with full jitter, on errors that can pass.

    With the defaults a refused connection is given up after 4 s on average and 8 s at most.
    Setting `stop` ends every wait at once with InterruptedByUser.
    """

    attempts: int = 6
    first_wait_seconds: float = 0.25
    longest_wait_seconds: float = 8.0
    stop: CancelToken = field(default_factory=CancelToken)
    refresh_credentials: Callable[[], bool] | None = None
    on_retry: Callable[[OrchestratorError], None] | None = None

    def call(self, request: Callable[[], T], what: str) -> T:
        """Send a request until it succeeds or its error is final.

        Raises the library's exceptions only, besides what is a defect of the caller.
        """
        try:
            return self.once(request, what)
        except OrchestratorError as error:
            if not self._can_pass(error):
                raise
            first = error
        return self._again(request, what, first)

    def check_stopped(self) -> None:
        """Raise InterruptedByUser once the user has asked to stop."""
        if self._stop.is_set():
            raise InterruptedByUser("interrupted")

    def wait_a_moment(self, at_least: float = 0) -> None:
        """Wait a random moment, so that writers that collided do not collide again.

        It is up to the first wait of the backoff, after `at_least` times as long.
        """
        self.wait(random.uniform(at_least, at_least + 1) * self.first_wait_seconds)

    def once(self, request: Callable[[], T], what: str) -> T:
        """Send a request once; raise the library's exceptions."""
        self.check_stopped()
        try:
            return aside(request)
        except Exception as error:
            translated = map_exception(error, what)
            if translated is error:
                raise
            raise translated from error

    def _again(self, request: Callable[[], T], what: str, first: OrchestratorError) -> T:
        # Imported on the first failure only: the happy path does not pay for it.
        from tenacity import Retrying, retry_if_exception, stop_after_attempt
        from tenacity import wait_random_exponential as full_jitter

        pending: list[OrchestratorError] = [first]

        def attempt() -> T:
            if pending:
                raise pending.pop()
            return self.once(request, what)

        return Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=full_jitter(multiplier=self.first_wait_seconds, max=self.longest_wait_seconds),
            # The first failure was judged already, which may have refreshed the credentials.
            retry=retry_if_exception(lambda error: error is first or self._can_pass(error)),
            sleep=self.wait,
            before_sleep=lambda state: self._report(state.outcome),
            reraise=True,
        )(attempt)

    def _can_pass(self, error: BaseException) -> bool:
        if not isinstance(error, OrchestratorError):
            return False
        if isinstance(error, AccessError) and error.code in EXPIRED_CODES:
            return self.refresh_credentials is not None and self.refresh_credentials()
        return error.retryable

    def wait(self, seconds: float) -> None:
        """Wait, or raise InterruptedByUser as soon as the user asks to stop."""
        self._stop.wait(seconds)
        self.check_stopped()

    @property
    def _stop(self) -> CancelToken:
        return current_token() or self.stop

    def _report(self, outcome: object) -> None:
        error = getattr(outcome, "exception", lambda: None)()
        if self.on_retry is not None and isinstance(error, OrchestratorError):
            self.on_retry(error)
