"""Tell the user that the storage does not answer, while a command waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.base.text import without_secrets

# With what starting takes, it is said within two seconds.
WAIT_SECONDS = 1.0
# Of a server that has answered before, a response may take a moment.
LATER_SECONDS = 10.0
# In a long silence, a failure is told of after so long, and the next after twice that.
AGAIN_SECONDS = 60.0


class WaitingNotice:
    """Watches the requests of one retry policy until the command ends.

    A silence is told once, and again after 1, 2, 4 minutes and so on where requests fail in it; the
    next one only after a response. `peer` says who is asked.
    """

    def __init__(
        self, policy: RetryPolicy, peer: Callable[[], str], say: Callable[[str], None]
    ) -> None:
        self._policy = policy
        self._peer = peer
        self._say = say
        self._error: OrchestratorError | None = None
        self._failed_at = 0.0
        self._told_at = float("-inf")
        self._pause_seconds = AGAIN_SECONDS
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to watch, in a thread."""
        threading.Thread(target=self._watch, daemon=True).start()

    def note_error(self, error: OrchestratorError) -> None:
        """Note why a request is sent again."""
        self._error, self._failed_at = error, self._policy.clock()

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(self._limit_seconds / 5):
            self._look()

    @property
    def _limit_seconds(self) -> float:
        return LATER_SECONDS if self._policy.progress.is_answered else WAIT_SECONDS

    def _look(self) -> None:
        progress, now = self._policy.progress, self._policy.clock()
        if progress.silent_seconds(now) < self._limit_seconds:
            return
        if self._told_at <= progress.heard_at:
            self._pause_seconds = AGAIN_SECONDS
        elif self._failed_at > self._told_at and now - self._told_at >= self._pause_seconds:
            self._pause_seconds *= 2
        else:
            return
        self._told_at = now
        error = self._error if self._failed_at > progress.heard_at else None
        if error is not None:
            self._say(f"{error.message}; still trying")
        else:
            # Such as a large upload that S3 takes minutes to complete.
            self._say(f"no answer from {without_secrets(self._peer())} yet; still waiting")
