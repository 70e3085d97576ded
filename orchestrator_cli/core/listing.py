"""Find executions and their files by listing; nothing here reads an object."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from orchestrator_cli.core.errors import NotFoundError, UsageError, printable
from orchestrator_cli.core.layout import (
    EXECUTIONS_PREFIX,
    execution_prefix,
    first_execution_id,
    is_execution_id,
    is_execution_id_prefix,
    last_execution_id,
    parse_artifact_key,
    parse_execution_prefix,
)
from orchestrator_cli.core.models import ListedObject
from orchestrator_cli.core.store import ArtifactStore

_LATEST_WINDOWS_HOURS = (1, 24, 24 * 7, 24 * 30, 24 * 366)
# No ULID begins with more than 7.
_AFTER_ALL_EXECUTIONS = EXECUTIONS_PREFIX + "8"
# Clocks differ; an id from further ahead is a foreign one.
_CLOCK_SKEW = timedelta(hours=24)


def list_files(store: ArtifactStore, execution_id: str) -> Iterator[tuple[str, ListedObject]]:
    """Yield (path, object) of an execution's files in key order; foreign keys are left out."""
    for listed in store.list_objects(execution_prefix(execution_id)):
        parsed = parse_artifact_key(listed.key)
        if parsed is not None:
            yield parsed[1], listed


def list_all_files(
    store: ArtifactStore, execution_id: str, with_restore: bool = False
) -> Iterator[tuple[str, ListedObject]]:
    """Yield what `list_files` does. Raises NotFoundError where there is no such execution."""
    exists = False
    prefix = execution_prefix(execution_id)
    for listed in store.list_objects(prefix, with_restore=with_restore):
        exists = True
        parsed = parse_artifact_key(listed.key)
        if parsed is not None:
            yield parsed[1], listed
    if not exists:
        raise no_such_execution(store, execution_id)


def no_such_execution(store: ArtifactStore, execution_id: str) -> NotFoundError:
    """Return the error for an execution that is not there."""
    return NotFoundError(
        f"no such execution: {execution_id} in s3://{store.bucket}",
        hint="`orchestrator ls --since 7d` lists executions",
    )


def list_execution_ids(
    store: ArtifactStore,
    since: datetime | None,
    until: datetime | None,
    after: str | None = None,
) -> Iterator[str]:
    """Yield the ids of a time window in time order, by a listing that starts and stops there.

    `after` is an id to go on behind. One request per thousand executions of the window, whatever
    was there before or comes after.
    """
    start_after = ""
    if since is not None:
        # StartAfter is exclusive and a prefix sorts before what it holds, so the first id of the
        # window itself is not skipped.
        start_after = EXECUTIONS_PREFIX + first_execution_id(since)
    if after is not None:
        start_after = max(start_after, execution_prefix(after))
    last = execution_prefix(last_execution_id(until)) if until else _AFTER_ALL_EXECUTIONS
    for prefix in store.list_prefixes(EXECUTIONS_PREFIX, start_after):
        if prefix > last:
            return
        execution_id = parse_execution_prefix(prefix)
        # What is below a prefix sorts after it, so the listing begins with the one just had.
        if execution_id is not None and execution_id != after:
            yield execution_id


def resolve_execution_id(store: ArtifactStore, text: str, now: datetime) -> str:
    """Return the id that `@latest`, a unique prefix or a whole ULID stands for.

    Raises NotFoundError, and UsageError for a prefix of several.
    """
    if text == "@latest":
        return _latest_execution_id(store, now)
    folded = text.upper()
    if is_execution_id(folded):
        return folded
    if not is_execution_id_prefix(text):
        raise UsageError(
            f"not an execution id: {printable(text)!r}",
            hint="give a ULID, the start of one, or @latest",
        )
    found: list[str] = []
    for prefix in store.list_prefixes(EXECUTIONS_PREFIX + folded):
        execution_id = parse_execution_prefix(prefix)
        if execution_id is not None:
            found.append(execution_id)
        if len(found) > 1:
            raise UsageError(f"{text} is the start of several execution ids: {', '.join(found)}, …")
    if not found:
        raise NotFoundError(f"no execution id starts with {text} in s3://{store.bucket}")
    return found[0]


def _latest_execution_id(store: ArtifactStore, now: datetime) -> str:
    for hours in _LATEST_WINDOWS_HOURS:
        latest = None
        since = now - timedelta(hours=hours)
        for latest in list_execution_ids(store, since, now + _CLOCK_SKEW):  # noqa: B007
            pass
        if latest is not None:
            return latest
    raise NotFoundError(f"no execution of the last year in s3://{store.bucket}")
