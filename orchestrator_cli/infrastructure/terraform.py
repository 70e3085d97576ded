"""The bucket, its retention rules and its roles as Terraform."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator_cli.core.retention.lifecycle.policy import DEFAULT_MINIMUM
from orchestrator_cli.core.retention.lifecycle.rule import ApiRule
from orchestrator_cli.infrastructure.bucket_policy import (
    PUBLIC_ACCESS_BLOCK,
    BucketProtection,
    bucket_policy,
    efs_policies,
    encryption_rule,
    lock_configuration,
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
# The bucket of `orchestrator` and its lifecycle rules. Terraform manages all lifecycle rules of
# the bucket: add rules of other programs here too. To use a bucket that exists already:
# terraform import aws_s3_bucket.orchestrator NAME
"""
_BUCKET = "aws_s3_bucket.orchestrator"
# The provider's names for what S3's API calls otherwise.
_EFS_NAMES = {
    "TransitionToIA": "transition_to_ia",
    "TransitionToPrimaryStorageClass": "transition_to_primary_storage_class",
}


def render_terraform(
    rules: Iterable[ApiRule],
    bucket: str | None,
    protection: BucketProtection,
    access: Access | None = None,
) -> str:
    """Return a configuration that creates the bucket and, with `access`, its roles."""
    default = (("default", bucket),) if bucket else ()
    lock = (("object_lock_enabled", True),) if protection.object_lock else ()
    blocks = [
        Block('variable "bucket"', (("type", Raw("string")), *default)),
        _resource(
            "bucket",
            ("bucket", Raw("var.bucket")),
            *lock,
            Block("lifecycle", (("prevent_destroy", True),)),
        ),
        _lifecycle(rules, protection),
        *_protection(protection),
        *(_roles(access) if access is not None else ()),
    ]
    return _HEAD + "\n" + render_hcl(blocks)


def _resource(kind: str, *body: tuple[str, Any] | Block) -> Block:
    return Block(f'resource "aws_s3_{kind}" "orchestrator"', body)


def _of_bucket(kind: str, *body: tuple[str, Any] | Block) -> Block:
    return _resource(f"bucket_{kind}", ("bucket", Raw(f"{_BUCKET}.id")), *body)


def _lifecycle(rules: Iterable[ApiRule], protection: BucketProtection) -> Block:
    # S3 takes rules about noncurrent versions only once versioning is on.
    after = (("depends_on", Raw("[aws_s3_bucket_versioning.orchestrator]")),)
    return _of_bucket(
        "lifecycle_configuration",
        ("transition_default_minimum_object_size", DEFAULT_MINIMUM),
        *(after if protection.versioned else ()),
        *(Block("rule", tuple(_rule(rule))) for rule in rules),
    )


def _rule(rule: ApiRule) -> Iterator[tuple[str, Any] | Block]:
    """Yield a rule as it is in S3's API, under the provider's names."""
    yield "id", rule["ID"]
    yield "status", rule["Status"]
    narrow = rule["Filter"]
    if "And" in narrow:
        yield Block("filter", (Block("and", _in_snake_case(narrow["And"])),))
    else:
        yield Block("filter", _in_snake_case(narrow))
    for move in rule.get("Transitions", ()):
        yield Block("transition", _in_snake_case(move))
    for name in ("Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if name in rule:
            yield Block(_snake_case(name), _in_snake_case(rule[name]))


def _in_snake_case(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((_snake_case(name), value) for name, value in values.items())


def _snake_case(name: str) -> str:
    return re.sub(r"\B(?=[A-Z])", "_", name).lower()


def _protection(protection: BucketProtection) -> Iterator[Block]:
    if protection.versioned:
        on = Block("versioning_configuration", (("status", "Enabled"),))
        yield _of_bucket("versioning", on)
    if protection.object_lock:
        retention = lock_configuration(protection.object_lock)["Rule"]["DefaultRetention"]
        body = (("mode", retention["Mode"]), ("days", retention["Days"]))
        rule = Block("rule", (Block("default_retention", body),))
        yield _of_bucket("object_lock_configuration", rule)
    if protection.block_public_access:
        yield _of_bucket("public_access_block", *_in_snake_case(PUBLIC_ACCESS_BLOCK))
    if protection.kms_key is not None:
        yield _encryption(protection.kms_key)
    policy = bucket_policy(protection, _arn)
    if policy is not None:
        yield _document("orchestrator", policy["Statement"])
        yield _of_bucket("policy", ("policy", _document_of("orchestrator")))
    if protection.efs_days:
        policies = (
            Block("lifecycle_policy", _renamed(one, _EFS_NAMES))
            for one in efs_policies(protection.efs_days)
        )
        head = 'resource "aws_efs_file_system" "bench_logs"'
        yield Block(head, (("encrypted", True), *policies))


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> tuple[tuple[str, Any], ...]:
    return tuple((names[name], value) for name, value in values.items())


def _encryption(kms_key: str) -> Block:
    rule = encryption_rule(kms_key)
    by_default = rule["ApplyServerSideEncryptionByDefault"]
    names = {"SSEAlgorithm": "sse_algorithm", "KMSMasterKeyID": "kms_master_key_id"}
    block = Block("apply_server_side_encryption_by_default", _renamed(by_default, names))
    return _of_bucket(
        "server_side_encryption_configuration",
        Block("rule", (("bucket_key_enabled", rule["BucketKeyEnabled"]), block)),
    )


# --- policies and roles --------------------------------------------------------------------


def _roles(access: Access) -> Iterator[Block]:
    default = (("default", NAME_PREFIX),)
    yield Block('variable "role_prefix"', (("type", Raw("string")), *default))
    for role in Role:
        yield _document(
            role, role_policy(role, _arn, access.partition, access.demands)["Statement"]
        )
        body = (("name", _name(role)), ("policy", _document_of(role)))
        yield Block(f'resource "aws_iam_policy" "{role}"', body)
    for machine in MACHINE_ROLES:
        yield from _machine_role(machine, access)
    yield Block(f'resource "aws_iam_user" "{BENCH_USER}"', (("name", _name(BENCH_USER)),))
    yield _attachment("user", BENCH_USER, Role.BENCH)


def _machine_role(machine: MachineRole, access: Access) -> Iterator[Block]:
    name, subjects = machine.name, f"{machine.name}_subjects"
    if access.oidc_provider is not None:
        body = (("type", Raw("list(string)")), ("default", [machine.subject]))
        yield Block(f'variable "{subjects}"', body)
    yield _document(f"{name}_trust", trust_statements(access, Raw(f"var.{subjects}")))
    trust = ("assume_role_policy", _document_of(f"{name}_trust"))
    yield Block(f'resource "aws_iam_role" "{name}"', (("name", _name(name)), trust))
    yield _attachment("role", name, machine.policy)
    role = ("role", Raw(f"aws_iam_role.{name}.name"))
    yield Block(f'resource "aws_iam_instance_profile" "{name}"', (("name", _name(name)), role))
    yield Block(f'output "{name}_role_arn"', (("value", Raw(f"aws_iam_role.{name}.arn")),))


def _name(name: str) -> Raw:
    return Raw(f'"${{var.role_prefix}}-{name}"')


def _attachment(kind: str, name: str, policy: Role) -> Block:
    principal = (kind, Raw(f"aws_iam_{kind}.{name}.name"))
    attached = ("policy_arn", Raw(f"aws_iam_policy.{policy}.arn"))
    return Block(f'resource "aws_iam_{kind}_policy_attachment" "{name}"', (principal, attached))


def _document(name: str, statements: Iterable[dict[str, Any]]) -> Block:
    """Return a data block with a policy. `statements` are IAM's JSON, with `Raw` expressions."""
    blocks = tuple(Block("statement", tuple(_statement(one))) for one in statements)
    return Block(f'data "aws_iam_policy_document" "{name}"', blocks)


def _document_of(name: str) -> Raw:
    return Raw(f"data.aws_iam_policy_document.{name}.json")


def _statement(statement: dict[str, Any]) -> Iterator[tuple[str, Any] | Block]:
    yield "sid", statement["Sid"]
    yield "effect", statement["Effect"]
    yield "actions", _as_list(statement["Action"])
    if "Resource" in statement:
        yield "resources", _as_list(statement["Resource"])
    principal = statement.get("Principal", {})
    for kind, identifier in {"*": "*"}.items() if principal == "*" else principal.items():
        yield Block("principals", (("type", kind), ("identifiers", [identifier])))
    for test, keys in statement.get("Condition", {}).items():
        for variable, expected in keys.items():
            values = expected if isinstance(expected, Raw) else _as_list(expected)
            condition = (("test", test), ("variable", variable), ("values", values))
            yield Block("condition", condition)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _arn(key: str) -> Raw:
    return Raw(f'"${{{_BUCKET}.arn}}/{key}"') if key else Raw(f"{_BUCKET}.arn")
