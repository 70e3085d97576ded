"""Choose where the usage of executions is read from, a listing or an inventory, and its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from orchestrator_cli.core.base.errors import (
    NotFoundError,
    OrchestratorError,
    UsageError,
    suppress_unless_fatal,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import CLOCK_SKEW, first_execution_id, last_execution_id
from orchestrator_cli.core.executions.keys import EXECUTIONS_PREFIX, execution_prefix
from orchestrator_cli.core.executions.listings.executions import no_such_execution
from orchestrator_cli.core.retention.billing import Usage
from orchestrator_cli.core.retention.forecast import LifecycleForecaster, Retention, compile_rules
from orchestrator_cli.core.retention.inventory import (
    InventoryLocation,
    InventoryManifest,
    parse_manifest,
    read_inventory,
)
from orchestrator_cli.core.retention.lifecycle.bucket_rules import BucketLifecycle
from orchestrator_cli.core.retention.lifecycle.configuration import Configuration
from orchestrator_cli.core.retention.lifecycle.policy import RetentionPolicy, plan_rules
from orchestrator_cli.core.retention.usage import (
    ExecutionUsage,
    inventory_usage,
    join_usages,
    list_usage,
    list_usage_of,
    measure_unfinished,
)
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore


class AppliedRules(NamedTuple):
    """The rules that are applied, their `source` (`bucket` or `default`), and that in words."""

    retention: Retention
    source: str
    words: str


class UsageSource:
    """Reads usages from a bucket, or from an inventory of it; one of the two is needed.

    `warn` is told what cannot be counted.
    """

    def __init__(
        self,
        store: ArtifactStore | None,
        inventory: InventoryLocation | None,
        now: datetime,
        warn: Callable[[str], None],
        ahead: int,
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._now = now
        self._warn = warn
        self._ahead = ahead

    @property
    def inventory_time(self) -> datetime | None:
        """When the inventory was begun; None without one."""
        return self._manifest.created_at if self._manifest is not None else None

    @cached_property
    def rules(self) -> AppliedRules:
        """The rules that are applied to what is stored."""
        return _find_applied_rules(self._store)

    def read(
        self, execution_ids: list[str], since: datetime | None, until: datetime | None
    ) -> Iterator[ExecutionUsage]:
        """Yield what executions store, in time order: those that are named, or all of a window.

        Raises NotFoundError for a named one that is not there.
        """
        forecaster = LifecycleForecaster(self.rules.retention, self._now)
        named = sorted(set(execution_ids))
        latest = self._now + CLOCK_SKEW
        until = min(until or latest, latest)
        is_meant = frozenset(named).__contains__ if named else _in_window(since, until)
        if self._manifest is not None and self._inventory is not None:
            found = read_inventory(self._inventory, self._manifest)
            usages = inventory_usage(found, forecaster, is_meant)
            # Those that are named and missing are to be noticed.
            usages = join_usages(usages, [(name, Usage(executions=1)) for name in named])
        else:
            usages = self._list(forecaster, named, since, until)
        for execution_id, usage in join_usages(usages, self._unfinished(named, is_meant)):
            if named and not usage.objects and not usage.unfinished_uploads:
                raise self._missing(execution_id)
            yield execution_id, usage

    def _list(
        self,
        forecaster: LifecycleForecaster,
        named: list[str],
        since: datetime | None,
        until: datetime,
    ) -> Iterator[ExecutionUsage]:
        if self._store is None:
            raise UsageError("neither a bucket nor an inventory is named")
        if named:
            return list_usage_of(self._store, forecaster, named)
        return list_usage(self._store, forecaster, since, until, self._ahead)

    def _unfinished(
        self, named: list[str], is_meant: Callable[[str], bool]
    ) -> list[ExecutionUsage]:
        if self._store is None:
            return []
        prefix = execution_prefix(named[0]) if len(named) == 1 else EXECUTIONS_PREFIX
        try:
            return measure_unfinished(self._store, is_meant, prefix)
        except OrchestratorError as error:
            if error.is_fatal:
                raise
            # A missing permission, or a server without it, must not hide the rest.
            self._warn(f"unfinished uploads are not counted: {error.message}")
            return []

    def _missing(self, execution_id: str) -> OrchestratorError:
        if self._inventory is None and self._store is not None:
            return no_such_execution(self._store, execution_id)
        return NotFoundError(f"no such execution in the inventory: {execution_id}")

    @cached_property
    def _manifest(self) -> InventoryManifest | None:
        if self._inventory is None:
            return None
        manifest = parse_manifest(self._inventory.read_manifest())
        if self._store is not None and manifest.source_bucket != self._store.bucket:
            raise UsageError(
                f"the inventory is of s3://{printable(manifest.source_bucket)}, "
                f"not of s3://{self._store.bucket}",
                hint="name that bucket with --bucket",
            )
        return manifest


def _in_window(since: datetime | None, until: datetime) -> Callable[[str], bool]:
    first = first_execution_id(since) if since else ""
    last = last_execution_id(until)
    return lambda execution_id: first <= execution_id <= last


def _find_applied_rules(store: ArtifactStore | None) -> AppliedRules:
    """Return the bucket's rules; the default policy where it has none or they cannot be read."""
    if store is None:
        return _default_rules("no bucket was named")
    configuration = None
    with suppress_unless_fatal(OrchestratorError):
        configuration = BucketLifecycle(store).read()
    if configuration is None:
        return _default_rules("the bucket's rules cannot be read")
    if not configuration.rules:
        return _default_rules("the bucket has no rules")
    retention = compile_rules(configuration, store.session.is_aws)
    words = "the bucket's lifecycle rules"
    if not retention.archives:
        words += ", which archive nothing"
    return AppliedRules(retention, "bucket", words)


def _default_rules(why: str) -> AppliedRules:
    made = Configuration(plan_rules(RetentionPolicy()))
    words = f"the default policy of `orchestrator lifecycle apply` ({why})"
    return AppliedRules(compile_rules(made, small_objects_stay=True), "default", words)
