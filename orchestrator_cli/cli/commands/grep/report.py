"""What `grep` prints of the logs that it searched, and what it says of those it could not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestrator_cli.cli.app import App

if TYPE_CHECKING:
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.logs.search import LogLine

# What would move the cursor of a terminal or ring its bell; a tab is text.
_CONTROLS = bytes(code for code in range(32) if code != 9) + b"\x7f"


class Log(NamedTuple):
    """A log to search."""

    execution_id: str
    name: str


class Printer:
    """Prints matches, for people or as JSON; a quiet one notes only that there was one."""

    def __init__(self, app: App, mode: str, as_json: bool, is_quiet: bool) -> None:
        self._app = app
        self._mode = mode
        self._as_json = as_json
        self._is_quiet = is_quiet
        self.has_match = False

    @property
    def is_done(self) -> bool:
        """Whether no further match would change the output."""
        return self._is_quiet and self.has_match

    def print(self, log: Log, part: Sequence[LogLine] | int) -> None:
        """Print the matches in a log."""
        if part == 0:
            return
        self.has_match = True
        if self._is_quiet:
            return
        where: dict[str, object] = {"execution_id": log.execution_id, "log": log.name}
        name = f"{log.execution_id}:{log.name}"
        if isinstance(part, int):
            self._print(f"{name}:{part}", {**where, "count": part})
        elif self._mode == "list":
            self._print(name, where)
        elif self._as_json:
            for line in part:
                self._app.output.json({**where, **_record(line)})
        else:
            self._print_lines(log, part)

    def _print(self, text: str, record: dict[str, object]) -> None:
        if self._as_json:
            self._app.output.json(record)
        else:
            self._app.output.line(text)
        sys.stdout.flush()

    def _print_lines(self, log: Log, lines: Sequence[LogLine]) -> None:
        is_terminal = self._app.output.is_terminal
        shown = []
        for line in lines:
            mark = ":" if line.is_match else "-"
            where = f"{log.execution_id}{mark}{log.name}{mark}{line.number}{mark}"
            text = line.text.removesuffix(b"\n")
            border = b"--\n" if line.follows_gap else b""
            shown += [border, where.encode(), _harmless(text) if is_terminal else text, b"\n"]
        sys.stdout.buffer.write(b"".join(shown))
        sys.stdout.flush()


def _record(line: LogLine) -> dict[str, object]:
    text = line.text.removesuffix(b"\n").removesuffix(b"\r")
    return {
        "line": line.number,
        "offset_bytes": line.offset_bytes,
        "is_match": line.is_match,
        "text": text.decode(errors="replace"),
    }


def _harmless(text: bytes) -> bytes:
    """Return a line without characters that would change the colour or place of later lines."""
    from orchestrator_cli.core.executions.logs.ansi import ESCAPE

    return ESCAPE.sub(b"", text).translate(None, delete=_CONTROLS)


class Failures:
    """The logs that could not be read: each is reported at once, and they decide the exit code."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._count = 0
        self._hint: str | None = None

    def add(self, what: str, error: OrchestratorError) -> None:
        """Say what failed."""
        self._count += 1
        self._hint = self._hint or error.hint
        self._app.messages.failure(f"{what}: {error.message}")

    def check(self) -> None:
        """Raise PartialFailureError where anything failed."""
        from orchestrator_cli.cli.output import human_count
        from orchestrator_cli.core.base.errors import PartialFailureError

        if self._count:
            raise PartialFailureError(
                f"{human_count(self._count, 'log')} could not be searched", hint=self._hint
            )
