"""Probes of what the bucket asks of each request, and whether the settings give it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.foreign_json import parse_json
from orchestrator_cli.core.executions.doctor.access import without_setting
from orchestrator_cli.core.executions.doctor.checker import ProbeResult, Verdict
from orchestrator_cli.core.executions.doctor.scratch import Scratch
from orchestrator_cli.core.s3.bucket.settings import read_setting
from orchestrator_cli.core.s3.demands import BucketDemands

# The condition keys of a policy, with the option that gives what they look at.
_OPTIONS = {
    "s3:x-amz-server-side-encryption": "--sse-kms-key-id",
    "s3:x-amz-server-side-encryption-aws-kms-key-id": "--sse-kms-key-id",
    "s3:x-amz-server-side-encryption-bucket-key-enabled": "--bucket-key",
    "s3:x-amz-storage-class": "--storage-class",
    "s3:requestobjecttagkeys": "--tag",
}
_TAG = "s3:requestobjecttag/"


def read_demands(scratch: Scratch) -> ProbeResult:
    """Find out what the bucket's policy denies without, and which options give it."""
    try:
        response = read_setting(scratch.store, "get_bucket_policy", "Policy").response
        policy = parse_json(response.get("Policy") or "{}")
    except OrchestratorError as error:
        return without_setting(error, "NoSuchBucketPolicy", "no policy")
    except ValueError:
        return Verdict.INFO, "the policy cannot be read"
    asked = list(dict.fromkeys(_asked_options(policy)))
    if not asked:
        return Verdict.INFO, "asks for none of the settings"
    given = _given_options(scratch.store.session.settings.demands)
    missing = [option for option in asked if option.partition(" ")[0] not in given]
    if missing:
        return Verdict.INFO, f"asks for {', '.join(asked)}; not set: {', '.join(missing)}"
    return Verdict.INFO, f"asks for {', '.join(asked)}, which is set"


def read_payer(scratch: Scratch) -> ProbeResult:
    """Find out who pays for requests."""
    try:
        response = read_setting(
            scratch.store, "get_bucket_request_payment", "RequestPaymentConfiguration"
        ).response
    except OrchestratorError as error:
        return without_setting(error)
    if response.get("Payer") == "Requester":
        return Verdict.INFO, "the requester: --request-payer requester says that you agree"
    return Verdict.INFO, "the bucket's owner"


def _given_options(demands: BucketDemands) -> set[str]:
    given = {
        "--sse-kms-key-id": demands.kms_key,
        "--bucket-key": demands.kms_key and demands.bucket_key,
        "--storage-class": demands.storage_class,
        "--tag": demands.tags,
    }
    return {option for option, value in given.items() if value}


def _asked_options(policy: Any) -> Iterator[str]:
    """Yield the options that requests need so that no statement denies them."""
    statements = policy.get("Statement", []) if isinstance(policy, dict) else []
    for statement in statements if isinstance(statements, list) else [statements]:
        if isinstance(statement, dict) and statement.get("Effect") == "Deny":
            for name, wanted in _conditions(statement):
                folded = name.lower()
                if folded.startswith(_TAG):
                    yield f"--tag {name[len(_TAG) :]}={wanted or 'VALUE'}"
                elif folded in _OPTIONS:
                    yield f"{_OPTIONS[folded]} {wanted}".rstrip()


def _conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys that a statement looks at, and the one value that it wants."""
    conditions = statement.get("Condition", {})
    for operator, compared in conditions.items() if isinstance(conditions, dict) else ():
        for name, value in compared.items() if isinstance(compared, dict) else ():
            is_wanted = "Not" in operator and isinstance(value, str) and value != "aws:kms"
            yield name, value if is_wanted else ""
