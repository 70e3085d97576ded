"""Retention and guarantees as Terraform, in the layout of `terraform fmt`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator_cli.core.retention.lifecycle.policy import ARCHIVE_CLASS, DEFAULT_MINIMUM, Rule
from orchestrator_cli.infrastructure.bucket_policy import (
    PUBLIC_ACCESS_BLOCK,
    BucketProtection,
    deny_statements,
    efs_policies,
    policy_document,
)
from orchestrator_cli.infrastructure.hcl import Block, Raw, render_hcl
from orchestrator_cli.infrastructure.iam import Role, role_policy
from orchestrator_cli.infrastructure.roles import (
    BENCH_USER,
    MACHINE_ROLES,
    NAME_PREFIX,
    Access,
    MachineRole,
    trust_statements,
)

_HEAD = """\
# The bucket of `orchestrator`, with its lifecycle rules. Terraform then owns all rules of the
# bucket: keep those of others here too. A bucket that exists already can be imported:
# terraform import aws_s3_bucket.orchestrator NAME
"""
_BUCKET = "aws_s3_bucket.orchestrator"


def render_terraform(
    rules: Iterable[Rule],
    bucket: str | None,
    guarantees: BucketProtection,
    access: Access | None = None,
) -> str:
    """Return the resources; applying them makes the bucket, and with `access` its roles."""
    default = (("default", bucket),) if bucket else ()
    lock = (("object_lock_enabled", True),) if guarantees.object_lock else ()
    blocks = [
        Block('variable "bucket"', (("type", Raw("string")), *default)),
        _resource(
            "bucket",
            ("bucket", Raw("var.bucket")),
            *lock,
            Block("lifecycle", (("prevent_destroy", True),)),
        ),
        _lifecycle(rules, guarantees),
        *_guarantees(guarantees),
        *(_roles(access) if access is not None else ()),
    ]
    return _HEAD + "\n" + render_hcl(blocks)


def _resource(kind: str, *body: tuple[str, Any] | Block) -> Block:
    return Block(f'resource "aws_s3_{kind}" "orchestrator"', body)


def _of_bucket(kind: str, *body: tuple[str, Any] | Block) -> Block:
    return _resource(f"bucket_{kind}", ("bucket", Raw(f"{_BUCKET}.id")), *body)


def _lifecycle(rules: Iterable[Rule], guarantees: BucketProtection) -> Block:
    # Rules about versions have to come after versioning.
    after = (("depends_on", Raw("[aws_s3_bucket_versioning.orchestrator]")),)
    return _of_bucket(
        "lifecycle_configuration",
        ("transition_default_minimum_object_size", DEFAULT_MINIMUM),
        *(after if guarantees.versioned else ()),
        *(Block("rule", tuple(_rule(rule))) for rule in rules),
    )


def _rule(rule: Rule) -> Iterator[tuple[str, Any] | Block]:
    yield "id", rule.rule_id
    yield "status", "Enabled"
    prefix = ("prefix", rule.prefix)
    if rule.over_bytes is None:
        yield Block("filter", (prefix,))
    else:
        both = Block("and", (prefix, ("object_size_greater_than", rule.over_bytes)))
        yield Block("filter", (both,))
    if rule.archive_days is not None:
        moved = (("days", rule.archive_days), ("storage_class", ARCHIVE_CLASS))
        yield Block("transition", moved)
    if rule.expire_days is not None:
        yield Block("expiration", (("days", rule.expire_days),))
    if rule.expire_markers:
        yield Block("expiration", (("expired_object_delete_marker", True),))
    if rule.noncurrent_days is not None:
        days = (("noncurrent_days", rule.noncurrent_days),)
        yield Block("noncurrent_version_expiration", days)
    if rule.abort_uploads_days is not None:
        days = (("days_after_initiation", rule.abort_uploads_days),)
        yield Block("abort_incomplete_multipart_upload", days)


def _guarantees(guarantees: BucketProtection) -> Iterator[Block]:
    if guarantees.versioned:
        on = Block("versioning_configuration", (("status", "Enabled"),))
        yield _of_bucket("versioning", on)
    if guarantees.object_lock:
        mode, days = guarantees.object_lock
        retention = Block("default_retention", (("mode", mode.upper()), ("days", days)))
        yield _of_bucket("object_lock_configuration", Block("rule", (retention,)))
    if guarantees.block_public_access:
        names = {"BlockPublicAcls": "block_public_acls", "BlockPublicPolicy": "block_public_policy"}
        names |= {"IgnorePublicAcls": "ignore_public_acls"}
        names |= {"RestrictPublicBuckets": "restrict_public_buckets"}
        blocked = ((names[name], value) for name, value in PUBLIC_ACCESS_BLOCK.items())
        yield _of_bucket("public_access_block", *blocked)
    if guarantees.kms_key is not None:
        yield _encryption(guarantees.kms_key)
    denials = deny_statements(guarantees)
    if denials:
        yield _document("orchestrator", policy_document(denials, _arn)["Statement"])
        yield _of_bucket("policy", ("policy", _document_of("orchestrator")))
    if guarantees.efs_days:
        names = {"TransitionToIA": "transition_to_ia"}
        names |= {"TransitionToPrimaryStorageClass": "transition_to_primary_storage_class"}
        policies = (
            Block("lifecycle_policy", tuple((names[name], value) for name, value in one.items()))
            for one in efs_policies(guarantees.efs_days)
        )
        head = 'resource "aws_efs_file_system" "bench_logs"'
        yield Block(head, (("encrypted", True), *policies))


def _encryption(kms_key: str) -> Block:
    key = (("kms_master_key_id", kms_key),) if kms_key else ()
    by_default = Block(
        "apply_server_side_encryption_by_default",
        (("sse_algorithm", "aws:kms" if kms_key else "AES256"), *key),
    )
    rule = Block("rule", (("bucket_key_enabled", bool(kms_key)), by_default))
    return _of_bucket("server_side_encryption_configuration", rule)


# --- policies and roles --------------------------------------------------------------------


def _roles(access: Access) -> Iterator[Block]:
    default = (("default", NAME_PREFIX),)
    yield Block('variable "role_prefix"', (("type", Raw("string")), *default))
    for role in Role:
        yield _document(
            role, role_policy(role, _arn, access.partition, access.demands)["Statement"]
        )
        named = (("name", _name(role)), ("policy", _document_of(role)))
        yield Block(f'resource "aws_iam_policy" "{role}"', named)
    for machine in MACHINE_ROLES:
        yield from _machine_role(machine, access)
    yield Block(f'resource "aws_iam_user" "{BENCH_USER}"', (("name", _name(BENCH_USER)),))
    yield _attachment("user", BENCH_USER, Role.BENCH)


def _machine_role(machine: MachineRole, access: Access) -> Iterator[Block]:
    name, subjects = machine.name, f"{machine.name}_subjects"
    if access.oidc_provider is not None:
        who = (("type", Raw("list(string)")), ("default", [machine.subject]))
        yield Block(f'variable "{subjects}"', who)
    yield _document(f"{name}_trust", trust_statements(access, Raw(f"var.{subjects}")))
    trust = ("assume_role_policy", _document_of(f"{name}_trust"))
    yield Block(f'resource "aws_iam_role" "{name}"', (("name", _name(name)), trust))
    yield _attachment("role", name, machine.policy)
    has = ("role", Raw(f"aws_iam_role.{name}.name"))
    yield Block(f'resource "aws_iam_instance_profile" "{name}"', (("name", _name(name)), has))
    yield Block(f'output "{name}_role_arn"', (("value", Raw(f"aws_iam_role.{name}.arn")),))


def _name(name: str) -> Raw:
    return Raw(f'"${{var.role_prefix}}-{name}"')


def _attachment(kind: str, name: str, policy: Role) -> Block:
    who = (kind, Raw(f"aws_iam_{kind}.{name}.name"))
    what = ("policy_arn", Raw(f"aws_iam_policy.{policy}.arn"))
    return Block(f'resource "aws_iam_{kind}_policy_attachment" "{name}"', (who, what))


def _document(name: str, statements: Iterable[dict[str, Any]]) -> Block:
    """Return a policy as data. `statements` are as in IAM's JSON, with `Raw` for expressions."""
    blocks = tuple(Block("statement", tuple(_statement(one))) for one in statements)
    return Block(f'data "aws_iam_policy_document" "{name}"', blocks)


def _document_of(name: str) -> Raw:
    return Raw(f"data.aws_iam_policy_document.{name}.json")


def _statement(statement: dict[str, Any]) -> Iterator[tuple[str, Any] | Block]:
    yield "sid", statement["Sid"]
    yield "effect", statement["Effect"]
    yield "actions", _listed(statement["Action"])
    if "Resource" in statement:
        yield "resources", _listed(statement["Resource"])
    principal = statement.get("Principal", {})
    for kind, who in {"*": "*"}.items() if principal == "*" else principal.items():
        yield Block("principals", (("type", kind), ("identifiers", [who])))
    for test, keys in statement.get("Condition", {}).items():
        for variable, wanted in keys.items():
            values = wanted if isinstance(wanted, Raw) else _listed(wanted)
            condition = (("test", test), ("variable", variable), ("values", values))
            yield Block("condition", condition)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _arn(key: str) -> Raw:
    return Raw(f'"${{{_BUCKET}.arn}}/{key}"') if key else Raw(f"{_BUCKET}.arn")
