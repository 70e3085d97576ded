"""Find the logs of all executions of a time window, the newest first, by listing alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from orchestrator_cli.core.executions.ids import (
    CLOCK_SKEW,
    MILLISECOND,
    first_execution_id,
    last_execution_id,
)
from orchestrator_cli.core.executions.keys import (
    EXECUTIONS_PREFIX,
    execution_prefix,
    key_after_execution,
    key_execution_id,
    parse_artifact_key,
)
from orchestrator_cli.core.executions.listings.executions import check_exists
from orchestrator_cli.core.executions.logs.finding import LOGS_FOLDER, log_name, no_such_log
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.operations.listing import PAGE_KEYS
from orchestrator_cli.core.s3.types import ObjectSummary

_FIRST_SPAN = timedelta(hours=1)
# How many executions are held at once, about, because S3 lists the oldest first.
_FEW_EXECUTIONS = 250
_MANY_EXECUTIONS = 2000


class ExecutionLogs(NamedTuple):
    """The logs that an execution has, by name."""

    execution_id: str
    logs: dict[str, ObjectSummary]


def list_logs_newest_first(
    store: ObjectReader, since: datetime, until: datetime | None, now: datetime
) -> Iterator[ExecutionLogs]:
    """Yield the executions that began in a time window and have logs, the newest first.

    The window is listed piece by piece from its end, so that memory follows neither its length nor
    the history.
    """
    end = until or now + CLOCK_SKEW
    span = _FIRST_SPAN + (end - now if until is None else timedelta(0))
    while end >= since:
        start = max(since, end - span)
        found = list(_list_logs_between(store, start, end))
        yield from reversed(found)
        if len(found) < _FEW_EXECUTIONS:
            span *= 2
        elif len(found) > _MANY_EXECUTIONS:
            span = max(span / 2, MILLISECOND)
        end = start - MILLISECOND


def list_logs_of(store: ObjectReader, execution_id: str, name: str = "") -> ExecutionLogs:
    """Return the logs of one execution, or the one of that name. Raises NotFoundError."""
    wanted = log_name(log_storage_path(name) or name)
    logs: dict[str, ObjectSummary] = {}
    for listed in store.list_objects(execution_prefix(execution_id) + LOGS_FOLDER):
        found = log_name((parse_artifact_key(listed.key) or ("", ""))[1])
        if found and (not name or found == wanted):
            logs[found] = listed
    if not logs and name:
        raise no_such_log(store, execution_id, name)
    if not logs:
        check_exists(store, execution_id)
    return ExecutionLogs(execution_id, logs)


def _list_logs_between(
    store: ObjectReader, since: datetime, until: datetime
) -> Iterator[ExecutionLogs]:
    start_after = EXECUTIONS_PREFIX + first_execution_id(since)
    last_key = key_after_execution(last_execution_id(until))
    listed = _list_log_objects(store, start_after, last_key)
    for execution_id, group in groupby(listed, lambda found: found[0]):
        yield ExecutionLogs(execution_id, {name: log for _, name, log in group})


def _list_log_objects(
    store: ObjectReader, start_after: str, last_key: str
) -> Iterator[tuple[str, str, ObjectSummary]]:
    """Yield (execution id, name, object) of logs; of many other files only the first are listed."""
    passed = 0
    for listed in store.list_objects(EXECUTIONS_PREFIX, start_after):
        if listed.key > last_key:
            return
        execution_id, path = parse_artifact_key(listed.key) or ("", "")
        if log_name(path):
            passed = 0
            yield execution_id, log_name(path), listed
            continue
        # A page of files that are no logs is worth a request to get past the rest of them.
        passed += 1
        logs = execution_prefix(key_execution_id(listed.key) or "") + LOGS_FOLDER
        if passed >= PAGE_KEYS and logs > listed.key:
            yield from _list_log_objects(store, logs, last_key)
            return
