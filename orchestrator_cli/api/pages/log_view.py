"""The data of a log's page, whose script then reads the log itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator_cli.api.logs.log_service import LogService
from orchestrator_cli.api.pages.execution_list import Row, judged_record, row_of
from orchestrator_cli.api.pages.execution_view import at_once, last_lines, live_log_names
from orchestrator_cli.api.reads.read_service import ReadService
from orchestrator_cli.core.base.errors import ArchivedError, NotFoundError
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.logs.finding import list_logs, log_name
from orchestrator_cli.core.executions.logs.index import TAIL_BYTES
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.executions.record.repository import read_execution
from orchestrator_cli.core.retention.archive import ArchiveInspector

# More than the last bytes of a log that are kept may have.
_MOST_LINES = TAIL_BYTES


@dataclass(frozen=True, slots=True)
class LogView:
    """A log's page. `archived` says why it cannot be read now; `kept` is its stored tail."""

    execution_id: str
    row: Row
    name: str
    others: list[str]
    size_bytes: int
    archived: str | None = None
    hint: str | None = None
    kept: str = ""


def log_view(reads: ReadService, logs: LogService, text: str, name: str) -> LogView:
    """Return what the page shows. Raises NotFoundError."""
    execution_id = parse_execution_id(text)
    short = log_name(log_storage_path(name) or "")
    if not short:
        raise NotFoundError("no such log", hint="a log is stdout, stderr, runner or bench")
    metadata = read_execution(reads.store, execution_id).metadata
    judged, stored, live = at_once(
        lambda: judged_record(reads.store, metadata),
        lambda: list_logs(reads.store, execution_id, lambda _: metadata.to_dict()).logs,
        lambda: live_log_names(reads.store, metadata),
    )
    row = row_of(judged, reads.now())
    listed = stored.get(short)
    names = [*stored, *live]
    size = listed.size_bytes if listed else 0
    view = LogView(execution_id, row, short, list(dict.fromkeys(names)), size)
    if listed is None:
        size = logs.open(execution_id, short).read(0, 0).size_bytes
        return replace(view, size_bytes=size)
    try:
        ArchiveInspector(reads.store, reads.now()).check_readable(listed, f"logs/{short}.log")
    except ArchivedError as error:
        kept = last_lines(logs.kept_tail(execution_id, short), _MOST_LINES)
        return replace(view, archived=error.message, hint=error.hint, kept=kept)
    return view
