"""What GitHub Actions shows of a step: groups of lines, annotations, and the step's summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator_cli.cli.output.comment_markup import MARKDOWN

# How many annotations of a step GitHub shows.
_MOST_ERRORS = 10
_MOST_WARNINGS = 10
# A summary is cut off, or refused, at 1 MiB.
_MOST_ROWS = 100


@dataclass
class GithubStep:
    """The step that this command runs in."""

    summary: Path | None
    _errors: int = 0
    _warnings: int = 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> GithubStep:
        """Return the step that these variables are of."""
        summary = environment.get("GITHUB_STEP_SUMMARY")
        return cls(Path(summary) if summary else None)

    def error(self, text: str) -> str:
        """Return the line that makes an annotation of a failure, as long as GitHub shows more."""
        self._errors += 1
        return annotation("error", text) if self._errors <= _MOST_ERRORS else text

    def warning(self, text: str) -> str:
        """Return the line that makes an annotation of a warning, likewise."""
        self._warnings += 1
        return annotation("warning", text) if self._warnings <= _MOST_WARNINGS else text

    def begin_group(self, title: str) -> str:
        """Return the line from which on lines are folded under a title."""
        return f"::group::{title}"

    def end_group(self) -> str:
        """Return the line that ends the group."""
        return "::endgroup::"

    def add_table(
        self, titles: Sequence[str], rows: Sequence[Sequence[str]], url: str | None = None
    ) -> None:
        """Add a table to the summary, as far as GitHub shows it. Raises OSError."""
        if self.summary is None:
            return
        lines: list[Sequence[str]] = [titles, ["---"] * len(titles)]
        for first, *others in rows[:_MOST_ROWS]:
            shown = MARKDOWN.link(first, url) if url else MARKDOWN.escape(first)
            lines.append([shown, *map(MARKDOWN.escape, others)])
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        if len(rows) > _MOST_ROWS:
            text += f"\nand {len(rows) - _MOST_ROWS:,} more\n"
        with self.summary.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def annotation(kind: str, text: str) -> str:
    """Return a workflow command; characters that would end it or begin another are escaped."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{kind} title=orchestrator::{escaped}"
