"""Count what each execution stores: from parallel listings, or from the lists of an inventory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import groupby, islice
from operator import attrgetter, itemgetter

from orchestrator_cli.core.base.errors import NotFoundError, OrchestratorError
from orchestrator_cli.core.executions.keys import (
    EXECUTIONS_PREFIX,
    LIVE_PREFIX,
    execution_prefix,
    key_execution_id,
    live_prefix,
)
from orchestrator_cli.core.executions.listings.partitioned import (
    RangeListing,
    Window,
    WindowListing,
)
from orchestrator_cli.core.executions.record.repository import read_executions
from orchestrator_cli.core.retention.billing import Usage
from orchestrator_cli.core.retention.forecast import LifecycleForecaster, Retention
from orchestrator_cli.core.retention.inventory import InventoryObject
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.listing import (
    PAGE_KEYS,
    ListingProgress,
    ListQuery,
    list_objects,
)
from orchestrator_cli.core.s3.operations.multipart_listing import (
    IncompleteUpload,
    list_multipart_uploads,
    list_parts,
)
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import ObjectSummary

_FIRST_PAGES = 2
ExecutionUsage = tuple[str, Usage]


# --- a time window ---------------------------------------------------------------------------


def list_usage(
    store: ObjectReader,
    forecaster: LifecycleForecaster,
    since: datetime | None,
    until: datetime,
    ahead: int,
) -> Iterator[ExecutionUsage]:
    """Yield what each execution of a time window stores, in time order, by listing.

    Segments of live logs are among it for as long as they are there. About a request a thousand
    objects, one more a sub-window, and one for where no log is live. Foreign keys are left out.
    """

    def below(prefix: str) -> Iterator[ExecutionUsage]:
        listing: RangeListing[ObjectSummary, ExecutionUsage] = RangeListing(
            partial(store.list_objects, prefix),
            attrgetter("key"),
            partial(_add_objects, prefix=prefix, forecaster=forecaster),
            itemgetter(0),
        )
        return WindowListing(listing, ahead).read(Window.of(since, until, prefix), _FIRST_PAGES)

    return join_usages(below(EXECUTIONS_PREFIX), below(LIVE_PREFIX))


def _add_objects(
    objects: Iterable[ObjectSummary], prefix: str, forecaster: LifecycleForecaster
) -> list[ExecutionUsage]:
    found: list[ExecutionUsage] = []
    for listed in objects:
        execution_id = key_execution_id(listed.key, prefix)
        if execution_id is not None:
            if not found or found[-1][0] != execution_id:
                found.append((execution_id, Usage(executions=1)))
            found[-1][1].add_object(listed, forecaster)
    return found


def merge_same_execution(parts: Iterable[ExecutionUsage]) -> Iterator[ExecutionUsage]:
    """Join the parts of an execution that follow each other."""
    for execution_id, group in groupby(parts, key=itemgetter(0)):
        usages = [usage for _, usage in group]
        whole = usages[0]
        for usage in usages[1:]:
            whole.add(usage)
        # One execution, in however many parts it was found.
        whole.executions = 1
        yield execution_id, whole


def join_usages(*streams: Iterable[ExecutionUsage]) -> Iterator[ExecutionUsage]:
    """Join streams that are in time order."""
    return merge_same_execution(heapq.merge(*streams, key=itemgetter(0)))


# --- named executions ------------------------------------------------------------------------


def list_usage_of(
    store: ArtifactStore, forecaster: LifecycleForecaster, execution_ids: Iterable[str]
) -> Iterator[ExecutionUsage]:
    """Yield what these executions store, in the order given; nothing where there is nothing.

    Segments of their live logs are among it for as long as they are there.
    """
    yield from store.map_operations(read_usage(forecaster, one) for one in execution_ids)


def read_usage(forecaster: LifecycleForecaster, execution_id: str) -> Operation[ExecutionUsage]:
    """List what an execution stores, and return that in all."""
    usage = Usage(executions=1)
    for prefix in (execution_prefix(execution_id), live_prefix(execution_id)):
        query, page = ListQuery(prefix), None
        progress = ListingProgress(query.what)
        while page is None or page.next_token is not None:
            page = yield from list_objects(query, page and page.next_token)
            progress.check(page.names)
            for listed in page.objects:
                usage.add_object(listed, forecaster)
    return execution_id, usage


# --- unfinished uploads ----------------------------------------------------------------------


def measure_unfinished(
    store: ArtifactStore, is_meant: Callable[[str], bool], prefix: str
) -> list[ExecutionUsage]:
    """Return what the parts of unfinished uploads hold, by execution, in time order."""

    def meant(upload: IncompleteUpload) -> bool:
        execution_id = key_execution_id(upload.key)
        return execution_id is not None and is_meant(execution_id)

    uploads = store.run(list_multipart_uploads(store.server, prefix))
    found = store.map_operations(map(_measure, filter(meant, uploads)))
    ordered = sorted((one for one in found if one is not None), key=itemgetter(0))
    return list(merge_same_execution(ordered))


def _measure(upload: IncompleteUpload) -> Operation[ExecutionUsage | None]:
    """Return what an upload's parts hold; None where it has ended meanwhile."""
    try:
        parts = (yield from list_parts(upload.key, upload.upload_id)).values()
    except NotFoundError:
        return None
    size = sum(part.size_bytes for part in parts)
    usage = Usage(1, {}, {}, 1, len(parts), size)
    return key_execution_id(upload.key) or "", usage


# --- groups ----------------------------------------------------------------------------------


def label_by_field(
    store: ArtifactStore,
    usages: Iterable[ExecutionUsage],
    field: str,
    on_unreadable: Callable[[str, OrchestratorError], None],
) -> Iterator[tuple[str | None, Usage]]:
    """Yield the usages, each with a field of its execution's metadata; one read an execution."""
    rest = iter(usages)
    while batch := list(islice(rest, PAGE_KEYS)):
        metadata = read_executions(store, [execution_id for execution_id, _ in batch])
        for (execution_id, usage), (_, record) in zip(batch, metadata, strict=True):
            if isinstance(record, OrchestratorError):
                on_unreadable(execution_id, record)
                yield None, usage
            else:
                name = getattr(record, field)
                yield None if name is None else str(name), usage


def sum_groups(named: Iterable[tuple[str | None, Usage]]) -> dict[str | None, Usage]:
    """Return the sum of each group."""
    groups: dict[str | None, Usage] = {}
    for name, usage in named:
        groups.setdefault(name, Usage()).add(usage)
    return groups


# --- an inventory ----------------------------------------------------------------------------


def inventory_usage(
    objects: Iterable[InventoryObject],
    forecaster: LifecycleForecaster,
    is_meant: Callable[[str], bool],
) -> Iterator[ExecutionUsage]:
    """Yield what each execution of an inventory stores, in time order.

    The lists of an inventory are in no certain order, so each execution stays in memory, in about
    a KiB, until all are read. Segments of live logs count, and noncurrent versions, to which no
    rule is applied.
    """
    found: dict[str, Usage] = {}
    unruled = LifecycleForecaster(Retention(), forecaster.now)
    for listed, is_latest in objects:
        key = listed.key
        execution_id = key_execution_id(key) or key_execution_id(key, LIVE_PREFIX)
        if execution_id is not None and is_meant(execution_id):
            usage = found.setdefault(execution_id, Usage(executions=1))
            usage.add_object(listed, forecaster if is_latest else unruled)

    for execution_id in sorted(found):
        yield execution_id, found.pop(execution_id)
