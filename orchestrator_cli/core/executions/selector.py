"""Resolve a selector to an execution: its id in several forms, or `@latest` with conditions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import NotFoundError, OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import (
    LATEST,
    URL_SCHEME,
    is_execution_id,
    is_execution_id_prefix,
)
from orchestrator_cli.core.executions.keys import EXECUTIONS_PREFIX, parse_execution_prefix
from orchestrator_cli.core.executions.listings.executions import LISTS_EXECUTIONS
from orchestrator_cli.core.executions.listings.newest import NewestIds
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.filters import ExecutionFilter

# How far back @latest is looked for.
LATEST_WINDOW = timedelta(days=366)
# The fields of a filter, as selectors name them.
FILTER_FIELDS = {
    "suite": "suites",
    "result": "results",
    "bench": "bench_ids",
    "runner-type": "runner_types",
    "reservation": "reservation_ids",
    "artifact-status": "artifact_statuses",
}
_LABEL = "label."


def resolve_selector(store: ArtifactStore, text: str, now: datetime) -> str:
    """Return the id that a selector stands for.

    That is an id or a unique start of one, with or without `/` after it, the URL of the execution
    or of anything in it, `@latest`, or `@latest:suite=smoke,result=fail`. Raises NotFoundError and
    UsageError.
    """
    if text.startswith(URL_SCHEME):
        return _id_of_url(store, text)
    if text.startswith(LATEST + ":"):
        return _latest_like(store, text, now)
    return resolve_execution_id(store, text.removesuffix("/"), now)


def resolve_execution_id(store: ObjectReader, text: str, now: datetime) -> str:
    """Return the id that `@latest`, a unique prefix or a whole ULID stands for.

    Raises NotFoundError, and UsageError for a prefix of several.
    """
    if text == LATEST:
        return _newest_execution_id(store, now)
    folded = text.upper()
    if is_execution_id(folded):
        return folded
    if not is_execution_id_prefix(text):
        raise not_an_id(text)
    prefixes = store.list_prefixes(EXECUTIONS_PREFIX + folded)
    found = list(islice(filter(None, map(parse_execution_prefix, prefixes)), 2))
    if len(found) > 1:
        raise ambiguous_prefix(text, found)
    if not found:
        raise no_such_prefix(store, text)
    return found[0]


def _newest_execution_id(store: ObjectReader, now: datetime) -> str:
    newest = next(iter(NewestIds(store, now - LATEST_WINDOW, None, now)), None)
    if newest is None:
        raise NotFoundError(f"no execution of the last year in {store.location}")
    return newest


def _id_of_url(store: ArtifactStore, url: str) -> str:
    bucket, _, key = url.removeprefix(URL_SCHEME).partition("/")
    execution_id = key.removeprefix(EXECUTIONS_PREFIX).partition("/")[0].upper()
    if not key.startswith(EXECUTIONS_PREFIX) or not is_execution_id(execution_id):
        raise UsageError(
            f"not the URL of an execution: {printable(url)}",
            hint=f"it begins with {URL_SCHEME}{store.bucket}/{EXECUTIONS_PREFIX} and a ULID",
        )
    if bucket != store.bucket:
        raise UsageError(
            f"{printable(url)} is in another bucket than {store.bucket}",
            hint=f"give --bucket {printable(bucket)}",
        )
    return execution_id


def _latest_like(store: ArtifactStore, text: str, now: datetime) -> str:
    # Records are read for this form only; they cost the import of pydantic.
    from orchestrator_cli.core.executions.filters import nearest_suite
    from orchestrator_cli.core.executions.record.repository import read_executions

    wanted = parse_filter(text.partition(":")[2])
    suites: set[str | None] = set()
    ids = NewestIds(store, now - LATEST_WINDOW, None, now)
    for execution_id, item in read_executions(store, ids):
        if isinstance(item, OrchestratorError):
            if item.is_inconclusive:
                # It may be the one that is meant.
                raise item
            continue
        if wanted.matches(item):
            return execution_id
        suites.add(item.test_suite)
    near = nearest_suite(wanted, suites)
    raise NotFoundError(
        f"no execution of the last year is {printable(text)} in s3://{store.bucket}",
        hint=f"did you mean suite={printable(near)}?" if near else LISTS_EXECUTIONS,
    )


def parse_filter(text: str) -> ExecutionFilter:
    """Return the filter that `suite=smoke,result=fail` means; a field given twice means either.

    A label is written `label.KEY=VALUE`. Raises UsageError.
    """
    from orchestrator_cli.core.executions.filters import ExecutionFilter, parse_labels

    values: dict[str, set[str]] = {}
    labels: list[str] = []
    for part in text.split(","):
        name, separator, value = part.partition("=")
        if name.startswith(_LABEL):
            labels.append(part.removeprefix(_LABEL))
        elif separator and name in FILTER_FIELDS:
            values.setdefault(FILTER_FIELDS[name], set()).add(value)
        else:
            raise UsageError(
                f"{printable(part)!r} does not choose an execution",
                hint=f"FIELD=VALUE with a field of {', '.join(FILTER_FIELDS)} or label.KEY",
            )
    _check_values(values)
    chosen = {field: frozenset(wanted) for field, wanted in values.items()}
    return ExecutionFilter(labels=parse_labels(labels), **chosen)


def _check_values(values: dict[str, set[str]]) -> None:
    """Raise UsageError for a value that no execution can have."""
    from orchestrator_cli.core.executions.record.metadata import ArtifactStatus, Result, RunnerType

    known: dict[str, type[StrEnum]] = {
        "result": Result,
        "runner-type": RunnerType,
        "artifact-status": ArtifactStatus,
    }
    for name, choices in known.items():
        for value in sorted(values.get(FILTER_FIELDS[name], set()).difference(choices)):
            raise UsageError(
                f"no execution has {name}={printable(value)}",
                hint=f"{name} is one of {', '.join(choices)}",
            )


def not_an_id(text: str) -> UsageError:
    """Return the error for what cannot stand for an execution."""
    return UsageError(f"not an execution id: {printable(text)!r}", hint=what_an_id_can_be(text))


def what_an_id_can_be(text: str) -> str:
    """Return the hint for what is no id: it may be the name of a suite."""
    hint = "give a ULID, the start of one, or @latest"
    if re.fullmatch(r"[A-Za-z][\w.-]*", text, re.ASCII):
        hint += f"; for a suite's newest, @latest:suite={text}"
    return hint


def no_such_prefix(store: ObjectReader, prefix: str) -> NotFoundError:
    """Return the error for a prefix that no execution's id has."""
    return NotFoundError(
        f"no execution id starts with {prefix} in {store.location}", hint=LISTS_EXECUTIONS
    )


def ambiguous_prefix(prefix: str, found: Iterable[str]) -> UsageError:
    """Return the error for the start of several ids, of which some were found."""
    return UsageError(
        f"{prefix} is the start of several execution ids: {', '.join(found)}, …",
        hint="give more of the ID",
    )
