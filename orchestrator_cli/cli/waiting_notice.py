"""Tell the user that the storage does not answer, while a command waits for its first response."""

from __future__ import annotations

import threading
from collections.abc import Callable

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.base.text import without_secrets

# With what starting takes, it is said within two seconds.
WAIT_SECONDS = 1.0


class WaitingNotice:
    """Watches the requests of one retry policy, until one of them succeeds or the command ends."""

    def __init__(self, policy: RetryPolicy, endpoint: str, say: Callable[[str], None]) -> None:
        self._policy = policy
        self._endpoint = endpoint
        self._say = say
        self._error: OrchestratorError | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to watch, in a thread."""
        threading.Thread(target=self._watch, daemon=True).start()

    def note_error(self, error: OrchestratorError) -> None:
        """Note why a request is sent again."""
        self._error = error

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(WAIT_SECONDS / 5):
            if self._policy.progress.is_answered:
                return
            if self._policy.progress.is_silent(self._policy.clock(), WAIT_SECONDS):
                endpoint = without_secrets(self._endpoint)
                why = self._error.message if self._error else f"no answer from {endpoint}"
                self._say(f"{why}; still trying")
                return
