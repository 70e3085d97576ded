"""The probe of `orchestrator doctor` that looks at a bucket's lifecycle rules."""

from __future__ import annotations

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.executions.doctor.access import without_setting
from orchestrator_cli.core.executions.doctor.checker import Probe, Verdict
from orchestrator_cli.core.executions.doctor.scratch import Scratch
from orchestrator_cli.core.executions.keys import metadata_key
from orchestrator_cli.core.retention.lifecycle.bucket_rules import BucketLifecycle
from orchestrator_cli.core.retention.lifecycle.configuration import Configuration, archiving_rules

_UPLOADS_STAY = "unfinished uploads stay, and cost"


def _lifecycle(scratch: Scratch) -> tuple[Verdict, str]:
    try:
        configuration = BucketLifecycle(scratch.store).read()
    except UsageError:
        return Verdict.INFO, "this server has none"
    except OrchestratorError as error:
        return without_setting(error)
    if not configuration.rules:
        return Verdict.INFO, f"no rules; {_UPLOADS_STAY}"
    archiving = archiving_rules(configuration, metadata_key(scratch.execution_id))
    if archiving:
        detail = f"{', '.join(archiving)} would archive metadata.json, which then cannot be read"
        return Verdict.DOES_NOT_WORK, detail
    return Verdict.INFO, _describe(configuration)


def _describe(configuration: Configuration) -> str:
    rules = [rule for rule in configuration.rules if rule.get("Status") == "Enabled"]
    aborting = any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    return f"{len(rules)} rules; {'unfinished uploads end' if aborting else _UPLOADS_STAY}"


LIFECYCLE_PROBE = Probe("lifecycle", _lifecycle)
