"""Where a command prints: its data to standard output, all else to standard error."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator_cli.cli.configuration.environment import terminal_columns
from orchestrator_cli.cli.output.ci_step import find_ci_step
from orchestrator_cli.cli.output.hyperlinks import knows_links
from orchestrator_cli.cli.output.progress import LineProgress, Progress, live_progress
from orchestrator_cli.cli.output.units import human_time, rfc3339
from orchestrator_cli.cli.standard_error import print_error_in_order
from orchestrator_cli.core.base.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_FLUSHED_CHARACTERS = 8192
RESULT_STYLES = {
    "pass": "green",
    "fail": "red",
    "error": "bold red",
    "running": "cyan",
    "lost": "yellow",
}
# What JSON may leave as it is and a terminal would act on: C1 controls, line separators,
# bidirectional overrides; and surrogates, which no encoding has.
_JSON_ESCAPED = "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


class Output:
    """Where a command prints. `verbosity`: -1 quiet, 0 normal, 1 verbose."""

    def __init__(self, color: str, verbosity: int, environment: Mapping[str, str]) -> None:
        self._color = color
        self._environment = environment
        self.verbosity = verbosity
        # Whether something could not be printed that somebody may have waited for.
        self.lost_output = False
        self._unflushed = 0
        self._held: list[str] | None = None
        self.ci_step = find_ci_step(environment)
        # What the lines are about that come now; its group begins with the first of them.
        self._group: str | None = None
        self._group_is_open = False

    # --- standard output -----------------------------------------------------------------

    def line(self, text: str, end: str = "\n") -> None:
        """Print one line of data as it is."""
        sys.stdout.write(text + end)
        # The buffer is large, and a reader wants the first lines while the last are awaited.
        self._unflushed += len(text)
        if self._unflushed >= _FLUSHED_CHARACTERS:
            self._unflushed = 0
            sys.stdout.flush()

    def json(self, value: Any) -> None:
        """Print one JSON object on one line."""
        import json

        text = json.dumps(value, ensure_ascii=not _is_utf8(sys.stdout), default=_json_default)
        self.line(re.sub(_JSON_ESCAPED, lambda found: f"\\u{ord(found[0]):04x}", text))

    def record(self, value: Any) -> None:
        """Print one JSON object about work that goes on although it cannot be printed any more."""
        try:
            self.json(value)
            sys.stdout.flush()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.lost_output = True
                print_error_in_order(f"error: {error.filename}: {error.strerror}; the work goes on")
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def styled(self, text: str, result: str | None) -> str:
        """Return a line in the colour of a result, where there are colours."""
        style = RESULT_STYLES.get(result or "")
        return _styled(text, style) if style and self._colors(sys.stdout) else text

    def draw(self, grid: RenderableType, width: int | None = None) -> str:
        """Return what rich lays out, by default for the terminal's width, in colour if wanted."""
        from rich.console import Console

        # To a text: a console has its own mind about NO_COLOR, TERM and closed pipes.
        text = io.StringIO()
        console = Console(
            file=text,
            width=width or terminal_columns(),
            color_system="standard" if self._colors(sys.stdout) else None,
            force_terminal=True,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        console.print(grid)
        return text.getvalue()

    def chart(self, rows: Sequence[tuple[str, float, str]]) -> None:
        """Draw a bar a row, from a label, an amount and its words; on a terminal only."""
        if not self.is_terminal or not rows:
            return
        labels = max(len(label) for label, _, _ in rows)
        words = max(len(text) for _, _, text in rows)
        room = max(10, min(60, terminal_columns() - labels - words - 5))
        most = max(amount for _, amount, _ in rows) or 1.0
        full = "\u2588" if _is_utf8(sys.stdout) else "#"
        for label, amount, text in rows:
            bar = full * round(room * amount / most)
            shown = _styled(bar, "cyan") if bar and self._colors(sys.stdout) else bar
            self.line(f"{label:<{labels}}  {text:>{words}}  {shown}".rstrip())

    def time(self, instant: datetime | None) -> str:
        """Write an instant as local time for a terminal, as UTC for anything else."""
        if instant is None or not self.is_terminal:
            return human_time(instant)
        return instant.astimezone().strftime("%Y-%m-%d %H:%M:%S")

    @property
    def is_terminal(self) -> bool:
        """Whether standard output is a terminal."""
        return sys.stdout.isatty()

    @property
    def can_link(self) -> bool:
        """Whether the terminal is one that is known to make links of OSC 8."""
        return self.is_terminal and self._colors(sys.stdout) and knows_links(self._environment)

    # --- standard error ------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Say what happened, unless --quiet."""
        if self.verbosity >= 0:
            self._print(text)

    def detail(self, text: str) -> None:
        """Say what happened, only with --verbose."""
        if self.verbosity > 0:
            self._print(text)

    def say(self, text: str) -> None:
        """Say what --quiet does not silence, as it is."""
        print_error_in_order(text)

    def warn(self, text: str) -> None:
        """Say what the user must know; --quiet does not silence it."""
        self._print(self.ci_step.warning(text) if self.ci_step else f"warning: {text}")

    def failure(self, text: str) -> None:
        """Say what failed; --quiet does not silence it."""
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
            shown = live_progress(what, self._colors(sys.stderr))
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

    # --- colour --------------------------------------------------------------------------

    def _colors(self, stream: Any) -> bool:
        if self._color != "auto":
            return self._color == "always"
        if self._environment.get("NO_COLOR"):
            return False
        if self._environment.get("FORCE_COLOR"):
            return True
        return bool(stream.isatty()) and self._environment.get("TERM") != "dumb"


def _styled(text: str, style: str) -> str:
    # Not a console: it has its own mind about NO_COLOR, TERM and closed pipes.
    from rich.color import ColorSystem
    from rich.style import Style

    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)


def _is_utf8(stream: Any) -> bool:
    return str(getattr(stream, "encoding", "")).lower().replace("-", "") == "utf8"


def _json_default(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else printable(value)
