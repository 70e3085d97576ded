"""Find the pages that show why an execution failed."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from orchestrator_cli.api.logs.log_service import LogService
from orchestrator_cli.api.reads.execution_query import ExecutionSelection, Order
from orchestrator_cli.api.reads.pagination import encode_cursor
from orchestrator_cli.api.reads.read_service import ReadService
from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.executions.filters import ExecutionFilter
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.logs.finding import first_log, list_logs
from orchestrator_cli.core.executions.record.metadata import Result
from orchestrator_cli.core.executions.record.repository import read_execution
from orchestrator_cli.core.executions.record.status_probe import read_raw_record
from orchestrator_cli.core.retention.archive import is_readable

# How many earlier executions are read to find one that passed; takes about a second.
_MAX_READ = 300
_MAX_AGE = timedelta(days=366)


def failure_url(reads: ReadService, logs: LogService, text: str) -> str:
    """Return the URL of the first error in an execution's logs, relative to /ui/executions/.

    Without a known error it is the URL of a log, and without logs that of the execution's page.
    Raises NotFoundError.
    """
    execution_id = parse_execution_id(text)
    found = list_logs(reads.store, execution_id, partial(read_raw_record, reads.store))
    for name, log in found.logs.items():
        index = logs.index(execution_id, name) if log.size_bytes and is_readable(log) else None
        if index is not None and index.errors:
            offset = index.errors[0][0]
            return f"{execution_id}/logs/{name}#o={offset}-{offset + 1}"
    first = first_log(found.sizes())
    return f"{execution_id}/logs/{first}" if first else execution_id


def comparison_url(reads: ReadService, text: str) -> str:
    """Return the URL that compares an execution with the last one before it that passed.

    That one has the same suite. The URL is relative to /ui/. Raises NotFoundError if none of the
    last executions passed.
    """
    metadata = read_execution(reads.store, parse_execution_id(text)).metadata
    execution_id, suite = metadata.execution_id, metadata.test_suite
    passed = ExecutionFilter(
        results=frozenset({Result.PASS}), suites=frozenset({suite} if suite else ())
    )
    found = reads.executions(
        ExecutionSelection(
            since=reads.now() - _MAX_AGE,
            until=None,
            order=Order.NEWEST,
            filter=passed,
            limit=1,
            cursor=encode_cursor(Order.NEWEST, execution_id),
            max_read=_MAX_READ,
        )
    )["executions"]
    if not found:
        raise NotFoundError(
            f"none of the {_MAX_READ} executions before {execution_id} has its suite and passed"
        )
    return f"compare/{found[0]['execution_id']}/{execution_id}"
