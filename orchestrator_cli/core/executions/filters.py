"""Choose executions by what their metadata says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata

# An execution's id, its record or why it cannot be read, and, of one that is running, whether its
# writer is `alive`, `silent` or `lost`; None where nothing tells.
FoundExecution = tuple[str, "ExecutionMetadata | OrchestratorError", str | None]
_Values = frozenset[str]
_ANY: _Values = frozenset()


class ExecutionFilter(NamedTuple):
    """Conditions on an execution. A field with values takes any of them, an empty one takes all.

    Every one of `labels` must be there.
    """

    results: _Values = _ANY
    suites: _Values = _ANY
    bench_ids: _Values = _ANY
    runner_types: _Values = _ANY
    reservation_ids: _Values = _ANY
    artifact_statuses: _Values = _ANY
    labels: Mapping[str, str] = MappingProxyType({})

    @property
    def takes_everything(self) -> bool:
        """True for a filter without conditions."""
        return self == ExecutionFilter()

    def matches(self, metadata: ExecutionMetadata) -> bool:
        """Return True if an execution meets all conditions."""
        wanted = (
            (self.results, metadata.result),
            (self.suites, metadata.test_suite),
            (self.bench_ids, metadata.bench_id),
            (self.runner_types, metadata.runner_type),
            (self.reservation_ids, metadata.reservation_id),
            (self.artifact_statuses, metadata.artifact_status),
        )
        return (
            all(not values or value in values for values, value in wanted)
            and self.labels.items() <= metadata.labels.items()
        )


class ExecutionWindow(NamedTuple):
    """Which executions are wanted; `limit` is of the newest, and `now` the present."""

    since: datetime
    until: datetime | None
    limit: int | None
    wanted: ExecutionFilter
    now: datetime


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return the labels of `KEY=VALUE` texts. Raises UsageError, for a key given twice too."""
    labels: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not name or not separator:
            raise UsageError(f"not a label: {printable(text)!r}", hint="a label is KEY=VALUE")
        if labels.setdefault(name, value) != value:
            raise UsageError(f"the label {printable(name)!r} cannot have two values")
    return labels


def nearest_suite(wanted: ExecutionFilter, names: Iterable[str | None]) -> str | None:
    """Return the suite among these that was probably meant; None where one that was given is."""
    import difflib

    known = {name for name in names if name}
    if known & wanted.suites:
        return None
    near = (difflib.get_close_matches(suite, known, 1) for suite in sorted(wanted.suites))
    return next((found[0] for found in near if found), None)
