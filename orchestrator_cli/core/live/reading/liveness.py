"""Derive from heartbeats whether the writers of listed executions are alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from orchestrator_cli.core.base.errors import OrchestratorError, suppress_unless_fatal
from orchestrator_cli.core.executions.filters import FoundExecution
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Status
from orchestrator_cli.core.executions.record.repository import read_or_error
from orchestrator_cli.core.live.state import Liveness, liveness_after, read_state
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.operations.request import Operation


def read_with_liveness(
    store: ObjectReader,
    execution_ids: Iterable[str],
    wants_liveness: Callable[[ExecutionMetadata], bool] = lambda metadata: True,
    at_once: int | None = None,
) -> Iterator[FoundExecution]:
    """Yield the metadata of executions in the order given, and whether their writers are there.

    The heartbeat is read only of those that are running and for which `wants_liveness` returns
    True; the liveness of others, and of those without a heartbeat, is None. At most `at_once` are
    read at once.
    """
    operations = (_read(store, one, wants_liveness) for one in execution_ids)
    return store.map_operations(operations, at_once)


def _read(
    store: ObjectReader, execution_id: str, wants_liveness: Callable[[ExecutionMetadata], bool]
) -> Operation[FoundExecution]:
    _, found = yield from read_or_error(store, execution_id)
    if isinstance(found, OrchestratorError) or not wants_liveness(found):
        return execution_id, found, None
    return execution_id, found, (yield from find_liveness(found))


def find_liveness(metadata: ExecutionMetadata) -> Operation[Liveness | None]:
    """Return whether the writer of a running execution is there; None where nothing tells."""
    if metadata.status is not Status.RUNNING:
        return None
    stored = None
    # Nobody is called lost for want of an answer.
    with suppress_unless_fatal(OrchestratorError):
        stored = yield from read_state(metadata.execution_id)
    return None if stored is None else liveness_after(stored.age_seconds)


def with_liveness(record: dict[str, Any], liveness: str | None) -> dict[str, Any]:
    """Return a JSON-ready record with the field `liveness` beside its status."""
    names = list(record)
    names.insert(names.index("status") + 1, "liveness")
    return {name: liveness if name == "liveness" else record[name] for name in names}
