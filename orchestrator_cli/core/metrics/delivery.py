"""Handing over what was counted: what a destination has not taken, it is offered again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.metrics.registry import MetricsSnapshot

# How long a server may take, from the first connection to its answer.
SEND_SECONDS = 5.0

Take = Callable[[MetricsSnapshot], None]


class PartlyTaken(OrchestratorError):  # noqa: N818 - the other part arrived
    """A destination took a part, and refused the rest for good."""


class Owed:
    """Keeps what `take` did not take, by raising anything but PartlyTaken, for the next time."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._owed = MetricsSnapshot()

    def deliver(self, measured: MetricsSnapshot) -> None:
        """Hand over this and what is left of before."""
        self._owed.merge(measured)
        try:
            self._take(self._owed)
        except PartlyTaken:
            self._owed = MetricsSnapshot()
            raise
        self._owed = MetricsSnapshot()


@dataclass
class Delivery:
    """One destination. It never fails: metrics must not decide how a command ends."""

    deliver: Take
    _told: str | None = None

    def hand_over(self, measured: MetricsSnapshot) -> str | None:
        """Hand over what was counted since the last time; return what the user has to be told.

        The same trouble again, as in each pass of a watch, is no news.
        """
        told, self._told = self._told, self._attempt(measured)
        return self._told if self._told != told else None

    def _attempt(self, measured: MetricsSnapshot) -> str | None:
        try:
            self.deliver(measured)
        except OrchestratorError as error:
            # Where it can pass, the hint is about the files.
            hint = None if error.retryable else error.hint
            return f"{error.message}; {hint}" if hint else error.message
        except Exception as error:  # noqa: BLE001 - a library's fault is no reason to fail either
            # Its text may repeat a URL with a password.
            return f"unexpected {type(error).__name__}"
        return None


def check_taken(status: int, media_type: str, what: str) -> None:
    """Raise UnavailableError unless a server's answer says that it took what it was sent."""
    if not 200 <= status < 300:
        why = ": a redirect is not followed" if 300 <= status < 400 else ""
        raise UnavailableError(f"{what}: answered {status}{why}")
    if media_type.lower().startswith("text/html"):
        # A login page, or somebody else's server: neither has a page to answer with.
        raise UnavailableError(f"{what}: answered a web page; something else listens there")
