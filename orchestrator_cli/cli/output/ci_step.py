"""The step of a CI job that a command runs in: what its system folds, marks and sums up.

Another CI system is a class beside GithubStep, and a condition in `find_ci_step`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class CiStep(Protocol):
    """What a CI system shows of a step besides its lines. The methods return lines to print."""

    def error(self, text: str) -> str:
        """Return the line of a failure."""
        ...

    def warning(self, text: str) -> str:
        """Return the line of a warning."""
        ...

    def begin_group(self, title: str) -> str:
        """Return the line from which on lines are folded under a title."""
        ...

    def end_group(self) -> str:
        """Return the line that ends the group."""
        ...

    def add_table(
        self, titles: Sequence[str], rows: Sequence[Sequence[str]], url: str | None = None
    ) -> None:
        """Add a table to the summary, where there is one. Raises OSError.

        `url` is where the first cell of each row leads.
        """
        ...


def find_ci_step(environment: Mapping[str, str]) -> CiStep | None:
    """Return the step that these variables are of; None outside of the known CI systems."""
    if environment.get("GITHUB_ACTIONS") == "true":
        from orchestrator_cli.cli.output.github_step import GithubStep

        return GithubStep.of(environment)
    return None
