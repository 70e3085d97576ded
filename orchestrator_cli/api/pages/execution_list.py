"""The list of executions: what the address asks for, and the rows of the answer."""

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
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.live.reading.liveness import find_liveness, with_liveness
from orchestrator_cli.core.live.state import Liveness
from orchestrator_cli.core.s3.bucket.reader import ObjectReader

ROWS = 50
# A page has fewer rows where many tests run, as those take two requests each.
_MOST_REQUESTS = 60
# Without a time, the whole history: it is listed from its end, and no further than needed.
_LONGEST_AGE = timedelta(days=5 * 366)
_LISTS = frozenset(
    {"result", "suite", "label", "bench", "runner_type", "reservation", "artifact_status"}
)
_SELDOM = frozenset({"bench", "until", "runner_type", "reservation", "artifact_status"})
_TEXTS = frozenset({"since", "until", "cursor"})


@dataclass(frozen=True, slots=True)
class Row:
    """An execution as the list shows it; `problem` is why its record cannot be read."""

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
    """One page of rows; `older` is the query of the next one, `looked_back_to` where it begins."""

    rows: list[Row]
    asked: dict[str, list[str]]
    older: str | None
    looked_back_to: datetime | None

    @property
    def is_short(self) -> bool:
        """Whether it has fewer rows than fit."""
        return len(self.rows) < ROWS

    @property
    def asks_more(self) -> bool:
        """Whether a filter is set that is seldom needed."""
        return not _SELDOM.isdisjoint(self.asked)


def list_page(reads: ReadService, params: QueryParams) -> ExecutionList:
    """Return the executions that the query of an address asks for. Raises UsageError."""
    asked = asked_for(params)
    now = reads.now()
    chosen = _parse(asked).selection(now)
    if "since" not in asked:
        chosen = replace(chosen, since=now - _LONGEST_AGE)
    chosen = replace(
        chosen, order=Order.NEWEST, limit=ROWS, looks_at=ROWS, most_requests=_MOST_REQUESTS
    )
    found = reads.executions(chosen)
    cursor = found["next_cursor"]
    rows = [row_of(record, now) for record in found["executions"]]
    rows += [_unreadable(one["execution_id"], one["error"]) for one in found["unreadable"]]
    return ExecutionList(
        sorted(rows, key=lambda row: row.execution_id, reverse=True),
        asked,
        query_text({**asked, "cursor": [cursor]}) if cursor else None,
        execution_time(decode_cursor(Order.NEWEST, cursor)) if cursor else None,
    )


def asked_for(params: QueryParams) -> dict[str, list[str]]:
    """Return the fields that are set; a form sends its empty ones too."""
    named = {name: [text for text in params.getlist(name) if text] for name in params}
    # A form has one value for several results.
    named["result"] = [one for text in named.get("result", []) for one in text.split(",")]
    return {name: texts for name, texts in named.items() if texts and name in _LISTS | _TEXTS}


def query_text(asked: dict[str, list[str]]) -> str:
    """Return the query of an address."""
    return urlencode([(name, text) for name, texts in asked.items() for text in texts])


def _parse(asked: dict[str, list[str]]) -> ExecutionQuery:
    fields: dict[str, Any] = {
        name: texts if name in _LISTS else texts[-1] for name, texts in asked.items()
    }
    try:
        return ExecutionQuery(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:1])
        raise UsageError(printable(f"{where}: {first['msg']}")) from error


def row_of(record: dict[str, Any], now: datetime) -> Row:
    """Return a record as the list shows it."""
    started, ended = _time(record["started_at"]), _time(record["ended_at"])
    running = record["status"] == "running"
    last = now if running else ended
    run = record.get("run") or {}
    return Row(
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


def _unreadable(execution_id: str, problem: str) -> Row:
    started = execution_time(execution_id)
    return Row(execution_id, "unreadable", None, None, started, None, {}, "", None, problem=problem)


def judged_record(store: ObjectReader, metadata: ExecutionMetadata) -> dict[str, Any]:
    """Return a record with whether its writer is there."""
    judged = store.run(find_liveness(metadata))
    return with_liveness(metadata.to_dict(), judged)


def _state(record: dict[str, Any]) -> str:
    """Return the one word for an execution; lost is a running one whose writer is gone."""
    if record.get("liveness") == Liveness.LOST:
        return "lost"
    return str(record["result"] or record["status"])


def _files(artifact_status: str, running: bool) -> str:
    """Say of an execution that has ended what is wrong with its files, or nothing."""
    if artifact_status == "artifact_error":
        return "files missing"
    return "incomplete" if artifact_status == "pending" and not running else ""


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
