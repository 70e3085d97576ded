"""The names of logs in requests."""

from __future__ import annotations

from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.executions.logs.finding import log_name
from orchestrator_cli.core.executions.logs.names import ANY_LOG
from orchestrator_cli.core.executions.placement import log_storage_path


def parse_log_name(text: str) -> str:
    """Return the short name of a log, such as `stdout` for `stdout.log`. Raises NotFoundError."""
    name = log_name(log_storage_path(text) or "")
    if not name:
        raise NotFoundError("no such log", hint=f"a log is {ANY_LOG}")
    return name
