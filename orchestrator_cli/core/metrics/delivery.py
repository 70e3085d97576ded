"""Export metrics, and keep what a destination has not taken for the next time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.metrics.recorder import MetricsSnapshot

# How long a server may take, from the first connection to its response.
SEND_SECONDS = 5.0

Export = Callable[[MetricsSnapshot], None]


class PartialSuccess(OrchestratorError):  # noqa: N818 - the other part arrived
    """A destination took a part, and refused the rest for good."""


class DeliveryQueue:
    """Retries undelivered metrics: where `export` raises, they go with the next ones.

    PartialSuccess is final: nothing of it is kept.
    """

    def __init__(self, export: Export) -> None:
        self._export = export
        self._waiting = MetricsSnapshot()

    def export(self, snapshot: MetricsSnapshot) -> None:
        """Export a snapshot together with what earlier exports have left."""
        self._waiting.merge(snapshot)
        try:
            self._export(self._waiting)
        except PartialSuccess:
            self._waiting = MetricsSnapshot()
            raise
        self._waiting = MetricsSnapshot()


@dataclass
class Exporter:
    """One destination. It never fails: metrics must not decide how a command ends."""

    export_or_raise: Export
    _last_problem: str | None = None

    def export(self, snapshot: MetricsSnapshot) -> str | None:
        """Export the metrics since the last time; return a warning for the user, if any.

        The same problem again, as in each pass of a watch, is no news.
        """
        last, self._last_problem = self._last_problem, self._attempt(snapshot)
        return self._last_problem if self._last_problem != last else None

    def _attempt(self, snapshot: MetricsSnapshot) -> str | None:
        try:
            self.export_or_raise(snapshot)
        except OrchestratorError as error:
            # Where it can pass, the hint is about the files.
            hint = None if error.retryable else error.hint
            return f"{error.message}; {hint}" if hint else error.message
        except Exception as error:  # noqa: BLE001 - a library's fault is no reason to fail either
            # Its text may repeat a URL with a password.
            return f"unexpected {type(error).__name__}"
        return None


def raise_for_rejection(status: int, media_type: str, what: str) -> None:
    """Raise UnavailableError unless a server's response says that it took what it was sent."""
    if not 200 <= status < 300:
        why = ": a redirect is not followed" if 300 <= status < 400 else ""
        raise UnavailableError(f"{what}: answered {status}{why}")
    if media_type.lower().startswith("text/html"):
        # A login page, or somebody else's server: neither has a page to answer with.
        raise UnavailableError(f"{what}: answered a web page; something else listens there")
