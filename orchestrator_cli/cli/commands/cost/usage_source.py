"""The usage that `orchestrator cost` prices: from a listing, or from an inventory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from orchestrator_cli.cli.app import App
from orchestrator_cli.core.base.errors import OrchestratorError, UsageError, suppress_unless_fatal
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import CLOCK_SKEW, first_execution_id, last_execution_id
from orchestrator_cli.core.executions.keys import EXECUTIONS_PREFIX, execution_prefix
from orchestrator_cli.core.retention.billing import Usage
from orchestrator_cli.core.retention.forecast import LifecycleForecaster, Retention, compile_rules
from orchestrator_cli.core.retention.inventory import (
    BucketInventory,
    InventoryLocation,
    InventoryManifest,
    LocalInventory,
    parse_manifest,
    read_inventory,
)
from orchestrator_cli.core.retention.lifecycle.configuration import Configuration
from orchestrator_cli.core.retention.lifecycle.policy import RetentionPolicy, api_rule, plan_rules
from orchestrator_cli.core.retention.prices import REFERENCE_REGION
from orchestrator_cli.core.retention.usage import (
    ExecutionUsage,
    inventory_usage,
    join_usages,
    label_by_field,
    list_unfinished,
    list_usage,
    list_usage_of,
)
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

_DEFAULT_WINDOW = timedelta(days=30)


class Rules:
    """The rules that are applied, and in words whose they are."""

    def __init__(self, retention: Retention, source: str, words: str) -> None:
        self.retention = retention
        self.source = source
        self.words = words


class UsageSource:
    """Reads usages from a bucket or an inventory of it; a local inventory needs no bucket."""

    def __init__(self, app: App, concurrency: int, inventory: str | None) -> None:
        self._app = app
        self._concurrency = concurrency
        self._inventory = inventory
        self._now = app.now()

    @cached_property
    def _store(self) -> ArtifactStore | None:
        if self._inventory and not self._app.settings.bucket:
            return None
        return self._app.store(self._concurrency)

    @property
    def region(self) -> str:
        """The region of the bucket, as far as is known."""
        if self._store is None:
            return self._app.settings.region or REFERENCE_REGION
        return self._store.clients.region

    @property
    def inventory_time(self) -> datetime | None:
        """When the inventory was begun."""
        return self._manifest[1].created_at if self._inventory else None

    @cached_property
    def rules(self) -> Rules:
        """The bucket's rules; the default policy where it has none or they cannot be read."""
        configuration, why = Configuration(), "no bucket was named"
        if self._store is not None:
            configuration, why = _read_rules(self._store)
        if configuration.rules and self._store is not None:
            retention = compile_rules(configuration, self._store.clients.is_aws)
            words = "the bucket's lifecycle rules"
            if not retention.archives:
                words += ", which archive nothing"
            return Rules(retention, "bucket", words)
        made = Configuration(tuple(api_rule(rule) for rule in plan_rules(RetentionPolicy())))
        words = f"the default policy of `orchestrator lifecycle apply` ({why})"
        return Rules(compile_rules(made, small_objects_stay=True), "default", words)

    def read(
        self, texts: tuple[str, ...], since: datetime | None, until: datetime | None
    ) -> Iterator[ExecutionUsage]:
        """Yield what executions store, in time order. Raises NotFoundError for a named one."""
        forecaster = LifecycleForecaster(self.rules.retention, self._now)
        named = sorted({self._resolve(text) for text in texts})
        latest = self._now + CLOCK_SKEW
        if self._inventory is None:
            since = since or min(until or self._now, self._now) - _DEFAULT_WINDOW
        until = min(until or latest, latest)
        is_meant = _window(since, until) if not named else frozenset(named).__contains__
        usages = self._usages(forecaster, named, since, until, is_meant)
        found = join_usages(usages, self._unfinished(named, is_meant))
        for execution_id, usage in found:
            if named and not usage.objects and not usage.unfinished_uploads:
                raise self._missing(execution_id)
            yield execution_id, usage

    def _usages(
        self,
        forecaster: LifecycleForecaster,
        named: list[str],
        since: datetime | None,
        until: datetime,
        is_meant: Callable[[str], bool],
    ) -> Iterator[ExecutionUsage]:
        if self._inventory:
            place, manifest = self._manifest
            found = inventory_usage(read_inventory(place, manifest), forecaster, is_meant)
            # Those that are named and missing are to be noticed.
            return join_usages(found, [(name, Usage(executions=1)) for name in named])
        store = self._bucket()
        if named:
            return list_usage_of(store, forecaster, named)
        return list_usage(store, forecaster, since, until, self._concurrency)

    def _unfinished(
        self, named: list[str], is_meant: Callable[[str], bool]
    ) -> list[ExecutionUsage]:
        if self._store is None:
            self._app.output.note("unfinished uploads are not counted: no bucket was named")
            return []
        prefix = execution_prefix(named[0]) if len(named) == 1 else EXECUTIONS_PREFIX
        try:
            return list_unfinished(self._store, is_meant, prefix)
        except OrchestratorError as error:
            if error.is_fatal:
                raise
            # A missing permission, or a server without it, must not hide the rest.
            self._app.output.warn(f"unfinished uploads are not counted: {error.message}")
            return []

    def label_by_field(
        self, usages: Iterator[ExecutionUsage], field: str
    ) -> Iterator[tuple[str | None, Usage]]:
        """Yield the usages with a field of their metadata; None where it cannot be read."""

        def warn(execution_id: str, error: OrchestratorError) -> None:
            self._app.output.warn(f"{execution_id}: {error.message}")

        return label_by_field(self._bucket(), usages, field, warn)

    def _resolve(self, text: str) -> str:
        from orchestrator_cli.core.executions.ids import is_execution_id

        if is_execution_id(text.upper()):
            return text.upper()
        return self._app.resolve_id(text, self._bucket())

    def _bucket(self) -> ArtifactStore:
        # Says what is missing where no bucket is named.
        return self._store or self._app.store(self._concurrency)

    def _missing(self, execution_id: str) -> OrchestratorError:
        from orchestrator_cli.core.base.errors import NotFoundError
        from orchestrator_cli.core.executions.listings.executions import no_such_execution

        if self._inventory:
            return NotFoundError(f"no such execution in the inventory: {execution_id}")
        return no_such_execution(self._bucket(), execution_id)

    @cached_property
    def _manifest(self) -> tuple[InventoryLocation, InventoryManifest]:
        text = self._inventory or ""
        place = self._open_place(text)
        manifest = parse_manifest(place.read_manifest())
        if self._store is not None and manifest.source_bucket != self._store.bucket:
            raise UsageError(
                f"the inventory is of s3://{printable(manifest.source_bucket)}, "
                f"not of s3://{self._store.bucket}",
                hint="name that bucket with --bucket",
            )
        return place, manifest

    def _open_place(self, text: str) -> InventoryLocation:
        if not text.startswith("s3://"):
            return LocalInventory(Path(text))
        bucket, _, key = text.removeprefix("s3://").partition("/")
        if not bucket or not key:
            raise UsageError(f"not the URL of a manifest: {printable(text)}")
        there = App(self._app.settings._replace(bucket=bucket))
        return BucketInventory(there.store(self._concurrency), key)


def _read_rules(store: ArtifactStore) -> tuple[Configuration, str]:
    from orchestrator_cli.core.retention.lifecycle.bucket_rules import BucketLifecycle

    with suppress_unless_fatal(OrchestratorError):
        return BucketLifecycle(store).read(), "the bucket has no rules"
    return Configuration(), "the bucket's rules cannot be read"


def _window(since: datetime | None, until: datetime) -> Callable[[str], bool]:
    first = first_execution_id(since) if since else ""
    last = last_execution_id(until)
    return lambda execution_id: first <= execution_id <= last
