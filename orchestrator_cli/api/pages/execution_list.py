"""The list of executions: the query of its URL, and its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.datastructures import QueryParams

from orchestrator_cli.api.reads.execution_query import ExecutionQuery, Order
from orchestrator_cli.api.reads.pagination import decode_cursor
from orchestrator_cli.api.reads.read_service import ReadService
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import execution_time
from orchestrator_cli.core.executions.record.metadata import (
    ArtifactStatus,
    ExecutionMetadata,
    Status,
)
from orchestrator_cli.core.live.reading.liveness import find_liveness, with_liveness
from orchestrator_cli.core.live.state import Liveness
from orchestrator_cli.core.s3.bucket.reader import ObjectReader

ROWS = 50
# Running executions take two requests each, so a page with many of them has fewer rows.
_MAX_REQUESTS = 60
# Without `since`, all executions are listed, the newest first, as far as a page needs.
_MAX_AGE = timedelta(days=5 * 366)
# The fields that a query may have several times, and those that it has once.
_LISTS = frozenset(
    {"result", "suite", "label", "bench", "runner_type", "reservation", "artifact_status"}
)
_TEXTS = frozenset({"since", "until", "cursor"})
# The filters that the page hides under "More".
_MORE_FILTERS = frozenset({"bench", "until", "runner_type", "reservation", "artifact_status"})


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """An execution as the list shows it.

    `state` is its result, or `running`, `lost` or `unreadable`. `files` says what is wrong with
    its files. `problem` says why its record cannot be read.
    """

    execution_id: str
    state: str
    suite: str | None
    bench: str | None
    started_at: datetime | None
    duration: timedelta | None
    labels: dict[str, str]
    files: str
    summary: str | None
    is_silent: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionList:
    """One page of rows, and the query it was made for.

    `older` is the query string of the next page, None on the last one. `looked_back_to` is the time
    of the oldest execution that was looked at.
    """

    rows: list[ExecutionRow]
    query: dict[str, list[str]]
    older: str | None
    looked_back_to: datetime | None

    @property
    def is_short(self) -> bool:
        """True if the page has fewer rows than it could have."""
        return len(self.rows) < ROWS

    @property
    def shows_more_filters(self) -> bool:
        """True if one of the filters under "More" is set."""
        return not _MORE_FILTERS.isdisjoint(self.query)


def list_page(reads: ReadService, params: QueryParams) -> ExecutionList:
    """Return the page of executions that a query asks for. Raises UsageError."""
    query = query_fields(params)
    now = reads.now()
    selection = _parse(query).selection(now)
    if "since" not in query:
        selection = replace(selection, since=now - _MAX_AGE)
    selection = replace(
        selection, order=Order.NEWEST, limit=ROWS, max_read=ROWS, max_requests=_MAX_REQUESTS
    )
    page = reads.executions(selection)
    cursor = page["next_cursor"]
    rows = [execution_row(record, now) for record in page["executions"]]
    rows += [_unreadable_row(one["execution_id"], one["error"]) for one in page["unreadable"]]
    return ExecutionList(
        sorted(rows, key=lambda row: row.execution_id, reverse=True),
        query,
        _encode_query({**query, "cursor": [cursor]}) if cursor else None,
        execution_time(decode_cursor(Order.NEWEST, cursor)) if cursor else None,
    )


def query_fields(params: QueryParams) -> dict[str, list[str]]:
    """Return the known fields of a query that have a value; a form sends empty ones too."""
    fields = {name: [text for text in params.getlist(name) if text] for name in params}
    # The form has one choice for several results: `fail,error`.
    fields["result"] = [one for text in fields.get("result", []) for one in text.split(",")]
    return {name: texts for name, texts in fields.items() if texts and name in _LISTS | _TEXTS}


def _encode_query(query: dict[str, list[str]]) -> str:
    return urlencode([(name, text) for name, texts in query.items() for text in texts])


def _parse(query: dict[str, list[str]]) -> ExecutionQuery:
    fields: dict[str, Any] = {
        name: texts if name in _LISTS else texts[-1] for name, texts in query.items()
    }
    try:
        return ExecutionQuery(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:1])
        raise UsageError(printable(f"{where}: {first['msg']}")) from error


def execution_row(record: dict[str, Any], now: datetime) -> ExecutionRow:
    """Return an execution's record as a row of the list."""
    started, ended = _time(record["started_at"]), _time(record["ended_at"])
    running = record["status"] == Status.RUNNING
    last = now if running else ended
    run = record.get("run") or {}
    return ExecutionRow(
        record["execution_id"],
        _state(record),
        record["test_suite"],
        record["bench_id"],
        started or execution_time(record["execution_id"]),
        last - started if last and started and last >= started else None,
        record["labels"],
        _files(record["artifact_status"], running),
        run.get("summary"),
        record.get("liveness") == Liveness.SILENT,
    )


def _unreadable_row(execution_id: str, problem: str) -> ExecutionRow:
    started = execution_time(execution_id)
    return ExecutionRow(
        execution_id, "unreadable", None, None, started, None, {}, "", None, problem=problem
    )


def record_with_liveness(store: ObjectReader, metadata: ExecutionMetadata) -> dict[str, Any]:
    """Return a JSON-ready record with the field `liveness`, which is read from the heartbeat."""
    liveness = store.run(find_liveness(metadata))
    return with_liveness(metadata.to_dict(), liveness)


def _state(record: dict[str, Any]) -> str:
    """Return the state of an execution in one word; `lost` is a running one without a writer."""
    if record.get("liveness") == Liveness.LOST:
        return "lost"
    return str(record["result"] or record["status"])


def _files(artifact_status: str, running: bool) -> str:
    """Return what is wrong with the files of a finished execution, "" for nothing."""
    if artifact_status == ArtifactStatus.ARTIFACT_ERROR:
        return "files missing"
    return "incomplete" if artifact_status == ArtifactStatus.PENDING and not running else ""


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
