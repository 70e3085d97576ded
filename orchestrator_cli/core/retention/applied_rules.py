"""Which lifecycle rules an estimate applies: the bucket's own, or those of the default policy."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator_cli.core.base.errors import OrchestratorError, suppress_unless_fatal
from orchestrator_cli.core.retention.forecast import Retention, compile_rules
from orchestrator_cli.core.retention.lifecycle.bucket_rules import BucketLifecycle
from orchestrator_cli.core.retention.lifecycle.configuration import Configuration
from orchestrator_cli.core.retention.lifecycle.policy import RetentionPolicy, plan_rules
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore


class AppliedRules(NamedTuple):
    """The rules that are applied, their `source` (`bucket` or `default`), and that in words."""

    retention: Retention
    source: str
    words: str


def find_applied_rules(store: ArtifactStore | None) -> AppliedRules:
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
