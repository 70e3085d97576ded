"""The records of one run: its start, its end, and the outcome of storing its output."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from orchestrator_cli.core.base.errors import ConflictError, OrchestratorError

MAX_COMMAND_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class RunStart:
    """How a run began.

    `command` is stored as it is here, so secrets in it are masked already. `declared` are options
    of `new`. `artifacts` are absolute paths of files and directories; where one of them is missing
    at the end, that is a failure unless `artifacts_optional`. Files in directories whose names
    begin with a dot are left out unless `include_hidden`. `live` says how logs are written to S3
    while they grow, None where they are not: `writer` names whoever writes in 32 hex digits, and
    `interval_seconds` is None where it grows by itself. `followed` are absolute paths of files that
    are logs too while they grow, by the name of the log.
    """

    execution_id: str
    command: list[str]
    host: str
    pid: int
    tool_version: str
    started_at: datetime
    declared: dict[str, Any] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    artifacts_optional: bool = False
    include_hidden: bool = False
    live: dict[str, Any] | None = None
    followed: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return asdict(self) | {"started_at": self.started_at.isoformat()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> RunStart:
        """Read what `to_dict` returned. Raises TypeError, ValueError, KeyError."""
        return cls(**(record | {"started_at": datetime.fromisoformat(record["started_at"])}))


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. `exit_code` is what a shell would see: 128+n after signal n.

    `error` says why the command did not start, or that nobody saw it end. `lost` maps the path of
    each log that is not whole in the spool to what it lacks.
    """

    ended_at: datetime
    duration_seconds: float
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    error: str | None = None
    lost: dict[str, str] = field(default_factory=dict)

    @property
    def result(self) -> str:
        """`pass`, `fail`, or `error` where the command was not run to its own end."""
        if self.error or self.signal or self.timed_out:
            return "error"
        return "pass" if self.exit_code == 0 else "fail"

    @property
    def summary(self) -> str:
        """The end of the run in a few words."""
        if self.error:
            return self.error
        how = f"killed by {self.signal}" if self.signal else f"exit code {self.exit_code}"
        return f"timed out: {how}" if self.timed_out else how

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return asdict(self) | {"ended_at": self.ended_at.isoformat()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> RunEnd:
        """Read what `to_dict` returned. Raises TypeError, ValueError, KeyError."""
        return cls(**(record | {"ended_at": datetime.fromisoformat(record["ended_at"])}))


@dataclass(slots=True)
class RunOutcome:
    """The outcome of storing a run's output.

    `stored` says that the spool holds nothing that S3 lacks; where it does, `resumes` says whether
    to try again can help, and `displaced` are files of the spool, by their path in the execution,
    where something else is stored for ever. `result` is the one on record. `needs_fix` says that
    somebody has to put something right before that. `problems` are lines for the user, one a file.
    `measured` are counts for whoever writes the metrics, in the form that
    `MetricsSnapshot.from_list` takes.
    """

    stored: bool = False
    resumes: bool = True
    needs_fix: bool = False
    summary: str = ""
    result: str | None = None
    problems: list[str] = field(default_factory=list)
    exit_code: int = 0
    displaced: dict[str, str] = field(default_factory=dict)
    artifacts_failed: bool = False
    measured: list[Any] | None = None

    @classmethod
    def of_error(cls, error: OrchestratorError | OSError) -> RunOutcome:
        """Return the outcome of an error that ends all uploads."""
        if isinstance(error, OSError):
            # This machine's fault: too few descriptors, a full disk.
            return cls.of_failure(error.strerror or str(error))
        return cls(
            summary=error.message,
            exit_code=error.exit_code,
            resumes=not isinstance(error, ConflictError),
            needs_fix=error.needs_fix,
        )

    @classmethod
    def of_failure(cls, summary: str) -> RunOutcome:
        """Return the outcome of a failure of this machine, which may pass."""
        return cls(summary=summary, exit_code=OrchestratorError.exit_code)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return asdict(self)


def to_milliseconds(instant: datetime) -> datetime:
    """Cut an instant to milliseconds, as metadata.json has it."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def unseen_end(start: RunStart, last_change: datetime) -> RunEnd:
    """Return the end of a run whose end nobody saw: the time of the last change of its spool."""
    seconds = (last_change - start.started_at).total_seconds()
    ended_at = to_milliseconds(max(last_change, start.started_at))
    return RunEnd(ended_at, max(0.0, round(seconds, 3)), error="the runner was killed")


def run_details(start: RunStart, end: RunEnd | None) -> dict[str, Any]:
    """Return the field `run` of metadata.json; the end's values are None while it runs."""
    return {
        "command": _shortened(start.command),
        "host": start.host,
        "pid": start.pid,
        "tool_version": start.tool_version,
        "started_at": start.started_at,
        "ended_at": end.ended_at if end else None,
        "duration_seconds": end.duration_seconds if end else None,
        "exit_code": end.exit_code if end else None,
        "signal": end.signal if end else None,
        "timed_out": end.timed_out if end else False,
        "summary": end.summary if end else None,
    }


def render_results(start: RunStart, end: RunEnd, stderr_tail: list[str]) -> bytes:
    """Return `results.json`: the summary, the same bytes however often it is made."""
    details = run_details(start, end)
    record = {
        "execution_id": start.execution_id,
        "result": end.result,
        **{name: _json(value) for name, value in details.items()},
        "lost": end.lost,
        "stderr_tail": stderr_tail if end.result != "pass" else [],
    }
    return json.dumps(record, ensure_ascii=True, indent=2).encode() + b"\n"


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _shortened(command: list[str]) -> list[str]:
    """Cut a command that would make metadata.json too large."""
    kept: list[str] = []
    room = MAX_COMMAND_CHARACTERS
    for word in command:
        if len(word) > room:
            return [*kept, word[:room] + "…"]
        kept.append(word)
        room -= len(word) + 1
    return kept
