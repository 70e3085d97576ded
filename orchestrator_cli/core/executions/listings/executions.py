"""Find executions and their files by listing; nothing here reads an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import chain

from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.executions.keys import (
    EXECUTIONS_PREFIX,
    execution_prefix,
    key_after_execution,
    parse_artifact_key,
    parse_execution_prefix,
)
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.types import ObjectSummary

# No ULID begins with more than 7.
_AFTER_ALL_EXECUTIONS = EXECUTIONS_PREFIX + "8"
_LISTINGS_AT_ONCE = 8
LISTS_EXECUTIONS = "`orchestrator ls --since 7d` lists executions"
# The path of a file below its execution, and what a listing says of it.
ListedFile = tuple[str, ObjectSummary]


def list_files(store: ObjectReader, execution_id: str) -> Iterator[ListedFile]:
    """Yield an execution's files in key order; foreign keys are left out."""
    return _files(store.list_objects(execution_prefix(execution_id)))


def _files(objects: Iterable[ObjectSummary]) -> Iterator[ListedFile]:
    for listed in objects:
        parsed = parse_artifact_key(listed.key)
        if parsed is not None:
            yield parsed[1], listed


def list_all_files(
    store: ObjectReader, execution_id: str, with_restore: bool = False
) -> Iterator[ListedFile]:
    """Yield what `list_files` does. Raises NotFoundError where there is no such execution."""
    objects = store.list_objects(execution_prefix(execution_id), with_restore=with_restore)
    first = next(objects, None)
    if first is None:
        raise no_such_execution(store, execution_id)
    yield from _files(chain([first], objects))


def check_exists(store: ObjectReader, execution_id: str) -> None:
    """Raise NotFoundError where nothing is stored of the execution."""
    if next(store.list_objects(execution_prefix(execution_id), at_once=1), None) is None:
        raise no_such_execution(store, execution_id)


def no_such_execution(store: ObjectReader, execution_id: str) -> NotFoundError:
    """Return the error for an execution that is not there."""
    return NotFoundError(
        f"no such execution: {execution_id} in {store.location}", hint=LISTS_EXECUTIONS
    )


def list_execution_ids(
    store: ObjectReader,
    since: datetime | None,
    until: datetime | None,
    now: datetime,
    after: str | None = None,
) -> Iterator[str]:
    """Yield the ids of a time window in time order, by a listing that starts and stops there.

    The listing begins after the id `after`; without `until` the window ends with the last
    execution. About a request per thousand executions of the window, whatever was there before or
    comes after; those of a long one are sent several at once.
    """
    # Most commands are told which execution is meant.
    from orchestrator_cli.core.executions.listings.partitioned import (
        RangeListing,
        Window,
        WindowListing,
    )

    window = Window.of(since, until or now)
    if until is None:
        window = window._replace(last_key=_AFTER_ALL_EXECUTIONS)
    if after is not None:
        window = window._replace(start_after=max(window.start_after, key_after_execution(after)))
    listing = RangeListing(
        partial(store.list_prefixes, EXECUTIONS_PREFIX),
        _behind,
        lambda prefixes: list(filter(None, map(parse_execution_prefix, prefixes))),
        str,
    )
    return WindowListing(listing, _LISTINGS_AT_ONCE).read(window)


def _behind(prefix: str) -> str:
    # What is below a prefix sorts after it: to go on at the prefix itself would show it again.
    return prefix.removesuffix("/") + "0"
