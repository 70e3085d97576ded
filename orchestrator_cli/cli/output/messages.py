"""Messages of a command, on standard error: notes, warnings, failures, progress."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from orchestrator_cli.cli.output.ci_step import find_ci_step
from orchestrator_cli.cli.output.colors_and_links import wants_colors
from orchestrator_cli.cli.output.progress import LineProgress, Progress, live_progress
from orchestrator_cli.cli.standard_error import print_error_in_order
from orchestrator_cli.core.base.text import printable


class Messages:
    """Prints messages for the user. `verbosity`: -1 quiet, 0 normal, 1 verbose."""

    def __init__(self, color: str, verbosity: int, environment: Mapping[str, str]) -> None:
        self._color = color
        self._environment = environment
        self.verbosity = verbosity
        self._held: list[str] | None = None
        self.ci_step = find_ci_step(environment)
        # What the lines are about that come now; its group begins with the first of them.
        self._group: str | None = None
        self._group_is_open = False

    def note(self, text: str) -> None:
        """Print a note, unless --quiet."""
        if self.verbosity >= 0:
            self._print(text)

    def detail(self, text: str) -> None:
        """Print a note, only with --verbose."""
        if self.verbosity > 0:
            self._print(text)

    def say(self, text: str) -> None:
        """Print a line as it is, also with --quiet."""
        print_error_in_order(text)

    def warn(self, text: str) -> None:
        """Print a warning, also with --quiet."""
        self._print(self.ci_step.warning(text) if self.ci_step else f"warning: {text}")

    def failure(self, text: str) -> None:
        """Print a failure, also with --quiet."""
        if self._held is None:
            line = f"failed: {text}"
            self._print(self.ci_step.error(line) if self.ci_step else line)
        else:
            self._held.append(text)

    @contextmanager
    def failures_at_the_end(self) -> Iterator[None]:
        """Hold failures back until all is done, or ended early, and list them then."""
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            for text in held:
                self.failure(text)

    @contextmanager
    def progress(self, what: str) -> Iterator[Progress]:
        """Show progress: a live line on a terminal, else a line every few seconds."""
        shown: AbstractContextManager[Progress]
        if self.verbosity >= 0 and sys.stderr.isatty():
            shown = live_progress(what, wants_colors(sys.stderr, self._color, self._environment))
        else:
            shown = contextlib.nullcontext(
                Progress(what) if self.verbosity < 0 else LineProgress(what, self._print)
            )
        with shown as progress, self._grouped(what):
            try:
                yield progress
            finally:
                progress.end()

    @contextmanager
    def _grouped(self, what: str) -> Iterator[None]:
        """Fold the lines that come, in a step of CI; failures come after the group."""
        self._group = what
        try:
            yield
        finally:
            if self.ci_step is not None and self._group_is_open:
                print_error_in_order(self.ci_step.end_group())
            self._group, self._group_is_open = None, False

    def _print(self, text: str) -> None:
        if self.ci_step is not None and self._group is not None and not self._group_is_open:
            self._group_is_open = True
            print_error_in_order(self.ci_step.begin_group(self._group))
        print_error_in_order(text)

    def summarize(
        self, titles: Sequence[str], rows: Sequence[Sequence[str]], url: str | None = None
    ) -> None:
        """Add a table to the summary of a step of CI; a failure is a warning only.

        `url` is where the first cell of each row leads.
        """
        if self.ci_step is None or not rows:
            return
        cells = [[printable(cell) for cell in row] for row in rows]
        try:
            self.ci_step.add_table(titles, cells, url)
        except OSError as error:
            self.warn(f"cannot write the step's summary: {error.strerror}")
