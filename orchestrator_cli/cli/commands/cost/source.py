"""Where `cost` reads from: the bucket, or an inventory of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.cost.options import CostOptions
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import is_execution_id
from orchestrator_cli.core.retention.inventory import (
    BucketInventory,
    InventoryLocation,
    LocalInventory,
)
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

_DEFAULT_WINDOW = timedelta(days=30)


def open_store(app: App, options: CostOptions) -> ArtifactStore | None:
    """Return the bucket; None where none is named and an inventory is enough."""
    needs_bucket = options.inventory is None or options.field is not None
    if not needs_bucket and not app.settings.bucket:
        app.messages.note("unfinished uploads are not counted: no bucket was named")
        return None
    return app.store(options.concurrency)


def open_inventory(app: App, options: CostOptions) -> InventoryLocation | None:
    """Return where the inventory is; None without one. Raises UsageError."""
    if options.inventory is None:
        return None
    if not options.inventory.startswith("s3://"):
        return LocalInventory(Path(options.inventory))
    bucket, _, key = options.inventory.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise UsageError(f"not the URL of a manifest: {printable(options.inventory)}")
    there = App(app.settings._replace(bucket=bucket))
    return BucketInventory(there.store(options.concurrency), key)


def resolve_ids(app: App, options: CostOptions, store: ArtifactStore | None) -> list[str]:
    """Return the ids of the executions that are named; a whole ULID needs no bucket."""
    return [
        text.upper()
        if is_execution_id(text.upper())
        else app.resolve_id(text, store or app.store(options.concurrency))
        for text in options.execution_ids
    ]


def window_start(options: CostOptions, now: datetime) -> datetime | None:
    """Return where the window begins; None for the beginning of an inventory."""
    if options.since is not None or options.inventory is not None:
        return options.since
    return min(options.until or now, now) - _DEFAULT_WINDOW
