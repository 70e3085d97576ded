"""Restore archived objects: plan, estimate, request, and wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from orchestrator_cli.core.base.errors import ArchivedError, NotFoundError, OrchestratorError
from orchestrator_cli.core.base.retry import growing_waits
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import METADATA_NAME
from orchestrator_cli.core.executions.listings.executions import no_such_execution
from orchestrator_cli.core.executions.listings.selection import filter_files
from orchestrator_cli.core.retention.archive import is_archived, list_with_restore_status
from orchestrator_cli.core.retention.prices import price_retrieval, retrieval_prices
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.operations.restore import restore_object
from orchestrator_cli.core.s3.types import ObjectSummary

_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 300.0


class RestoreOutcome(StrEnum):
    """What is the case with one file."""

    ARCHIVED = "archived"
    REQUESTED = "requested"
    ONGOING = "ongoing"
    RESTORED = "restored"
    NOT_ARCHIVED = "not-archived"
    FAILED = "failed"


_READABLE = (RestoreOutcome.RESTORED, RestoreOutcome.NOT_ARCHIVED)


@dataclass(frozen=True, slots=True)
class RestoreItem:
    """One file and its state; `expires_at` is when a restored copy goes away again."""

    path: str
    key: str
    size_bytes: int
    storage_class: str
    outcome: RestoreOutcome
    expires_at: datetime | None = None
    error: OrchestratorError | None = None


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do. `price_region` is whose prices `dollars` are of."""

    items: tuple[RestoreItem, ...]
    tier: str
    days: int
    within_hours: int
    dollars: float
    price_region: str

    @property
    def needed(self) -> tuple[RestoreItem, ...]:
        """The files to restore."""
        return tuple(item for item in self.items if item.outcome is RestoreOutcome.ARCHIVED)

    @property
    def size_bytes(self) -> int:
        """The total size of the files to restore."""
        return sum(item.size_bytes for item in self.needed)


def plan_restore(
    store: ArtifactStore, execution_id: str, patterns: Iterable[str], tier: str, days: int
) -> RestorePlan:
    """Plan the restore of an execution's archived files.

    metadata.json counts where it is archived and no pattern is given. Raises NotFoundError.
    """
    wanted = tuple(patterns)
    files = list(list_with_restore_status(store, execution_id))
    if not files:
        raise no_such_execution(store, execution_id)
    counted = [
        (path, listed)
        for path, listed in files
        if path != METADATA_NAME or (is_archived(listed) and not wanted)
    ]
    chosen = filter_files(counted, execution_id, wanted)
    items = tuple(_item(path, listed) for path, listed in chosen)
    region, prices = retrieval_prices(store.session.region)
    needed = [item for item in items if item.outcome is RestoreOutcome.ARCHIVED]
    dollars = sum(
        price_retrieval(prices, item.storage_class, tier, 1, item.size_bytes, days)
        for item in needed
    )
    hours = [prices.retrieval[item.storage_class, tier].within_hours for item in needed]
    return RestorePlan(items, tier, days, max(hours, default=0), dollars, region)


def _item(path: str, listed: ObjectSummary) -> RestoreItem:
    outcome, expires_at = RestoreOutcome.NOT_ARCHIVED, None
    if is_archived(listed):
        outcome = RestoreOutcome.ARCHIVED
        if listed.restore is not None:
            ongoing = listed.restore.ongoing
            outcome = RestoreOutcome.ONGOING if ongoing else RestoreOutcome.RESTORED
            expires_at = listed.restore.expires_at
    return RestoreItem(
        path, listed.key, listed.size_bytes, listed.storage_class, outcome, expires_at
    )


def request_restores(store: ArtifactStore, plan: RestorePlan) -> Iterator[RestoreItem]:
    """Ask S3 for every file that needs it; a file that fails is a result, not an exception.

    Raises errors that are fatal: nothing else would fare better.
    """
    return store.map_operations(_request(item, plan) for item in plan.needed)


def _request(item: RestoreItem, plan: RestorePlan) -> Operation[RestoreItem]:
    outcome = RestoreOutcome.REQUESTED
    try:
        yield from restore_object(item.key, plan.days, plan.tier)
    except ArchivedError:
        # So S3 says of an object that is in no archive class, or is there no more.
        outcome = RestoreOutcome.NOT_ARCHIVED
    except OrchestratorError as error:
        if error.is_fatal:
            raise
        if error.code != "RestoreAlreadyInProgress":
            return replace(item, outcome=RestoreOutcome.FAILED, error=error)
        outcome = RestoreOutcome.ONGOING
    return replace(item, outcome=outcome)


def _finished(
    store: ArtifactStore, execution_id: str, left: dict[str, RestoreItem]
) -> Iterator[RestoreItem]:
    """Yield the files that need no more waiting, and remove them from `left`."""
    gone = dict(left)
    for path, listed in list_with_restore_status(store, execution_id):
        item = _item(path, listed)
        if gone.pop(listed.key, None) and item.outcome in _READABLE:
            del left[listed.key]
            yield item
    for key, item in gone.items():
        del left[key]
        error = NotFoundError(f"{printable(item.path)} was deleted meanwhile")
        yield replace(item, outcome=RestoreOutcome.FAILED, error=error)


def wait_until_restored(
    store: ArtifactStore,
    execution_id: str,
    waiting: Iterable[RestoreItem],
    seconds: float | None,
    clock: Callable[[], float],
) -> Iterator[RestoreItem]:
    """Yield each file as soon as it can be read, by listing now and then.

    Raises ArchivedError where some are still archived after so many seconds.
    """
    left = {item.key: item for item in waiting}
    if not left:
        return
    until = None if seconds is None else clock() + seconds
    for pause in growing_waits(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS):
        yield from _finished(store, execution_id, left)
        if not left:
            return
        if until is not None and clock() + pause > until:
            count = f"{len(left):,} files" if len(left) > 1 else "1 file"
            verb = "are" if len(left) > 1 else "is"
            raise ArchivedError(
                f"{count} of {execution_id} {verb} not restored yet",
                hint="the restore goes on; run the same command again to go on waiting",
            )
        store.retry.wait(pause)
