"""Where somebody looks first who wants to know why an execution failed."""

from __future__ import annotations

from functools import partial

from orchestrator_cli.api.logs.log_service import LogService
from orchestrator_cli.api.reads.read_service import ReadService
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.logs.finding import first_log, list_logs
from orchestrator_cli.core.executions.record.status_probe import read_raw_record
from orchestrator_cli.core.retention.archive import is_readable


def failure_address(reads: ReadService, logs: LogService, text: str) -> str:
    """Return the address of the first error in the logs, relative to the execution's page.

    Of no error that is known, it is that of a log; of no log, that of the page itself. Raises
    NotFoundError.
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
