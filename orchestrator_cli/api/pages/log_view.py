"""The data of the page of a log. A script in the page then reads the log itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator_cli.api.logs.log_names import parse_log_name
from orchestrator_cli.api.logs.log_service import LogService
from orchestrator_cli.api.pages.execution_list import (
    ExecutionRow,
    execution_row,
    record_with_liveness,
)
from orchestrator_cli.api.pages.execution_view import last_lines, live_log_names, read_concurrently
from orchestrator_cli.api.reads.read_service import ReadService
from orchestrator_cli.core.base.errors import ArchivedError
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.logs.finding import list_logs
from orchestrator_cli.core.executions.logs.index import TAIL_BYTES
from orchestrator_cli.core.executions.record.repository import read_execution
from orchestrator_cli.core.retention.archive import ArchiveInspector

# The stored tail of a log never has more lines than bytes: all of it is shown.
_MAX_TAIL_LINES = TAIL_BYTES


@dataclass(frozen=True, slots=True)
class LogView:
    """What the page of a log shows. `names` are all logs of the execution.

    If the log is archived, `archived` and `hint` say how to restore it, and `tail` is its end,
    which is stored apart.
    """

    execution_id: str
    row: ExecutionRow
    name: str
    names: list[str]
    size_bytes: int
    archived: str | None = None
    hint: str | None = None
    tail: str = ""


def log_view(reads: ReadService, logs: LogService, text: str, name: str) -> LogView:
    """Read what the page of a log shows. Raises NotFoundError."""
    execution_id = parse_execution_id(text)
    short = parse_log_name(name)
    metadata = read_execution(reads.store, execution_id).metadata
    record, stored, live = read_concurrently(
        lambda: record_with_liveness(reads.store, metadata),
        lambda: list_logs(reads.store, execution_id, lambda _: metadata.to_dict()).logs,
        lambda: live_log_names(reads.store, metadata),
    )
    row = execution_row(record, reads.now())
    listed = stored.get(short)
    names = list(dict.fromkeys([*stored, *live]))
    view = LogView(execution_id, row, short, names, listed.size_bytes if listed else 0)
    if listed is None:
        size = logs.open(execution_id, short).read(0, 0).size_bytes
        return replace(view, size_bytes=size)
    try:
        ArchiveInspector(reads.store, reads.now()).check_readable(listed, f"logs/{short}.log")
    except ArchivedError as error:
        tail = last_lines(logs.stored_tail(execution_id, short), _MAX_TAIL_LINES)
        return replace(view, archived=error.message, hint=error.hint, tail=tail)
    return view
