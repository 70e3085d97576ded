"""The data of a command, on standard output."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator_cli.cli.configuration.environment import terminal_columns
from orchestrator_cli.cli.output.colors_and_links import knows_links, wants_colors
from orchestrator_cli.cli.output.units import human_time, json_time
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
    """Standard output: the data of a command, as text, JSON or a drawing."""

    def __init__(self, color: str, environment: Mapping[str, str]) -> None:
        self._color = color
        self._environment = environment
        # Whether something could not be printed that somebody may have waited for.
        self.lost_output = False
        self._unflushed = 0

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
        """Return what rich draws as text, as wide as the terminal by default, in colour if set."""
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
        """Whether the terminal is known to show links of OSC 8."""
        return self.is_terminal and self._colors(sys.stdout) and knows_links(self._environment)

    def _colors(self, stream: Any) -> bool:
        return wants_colors(stream, self._color, self._environment)


def _styled(text: str, style: str) -> str:
    # Not a console: it has its own mind about NO_COLOR, TERM and closed pipes.
    from rich.color import ColorSystem
    from rich.style import Style

    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)


def _is_utf8(stream: Any) -> bool:
    return str(getattr(stream, "encoding", "")).lower().replace("-", "") == "utf8"


def _json_default(value: Any) -> Any:
    return json_time(value) if isinstance(value, datetime) else printable(value)
