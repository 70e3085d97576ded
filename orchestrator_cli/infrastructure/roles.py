"""The IAM roles and users of a bucket, as data: their policies and who may assume them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator_cli.core.s3.demands import NO_DEMANDS, BucketDemands
from orchestrator_cli.infrastructure.iam import Role
from orchestrator_cli.infrastructure.target import validate

# The default prefix of all names. Another one lets a second bucket have roles in one account.
NAME_PREFIX = "orchestrator"


@dataclass(frozen=True, slots=True)
class MachineRole:
    """A role of EC2 instances and pods; its name follows the prefix.

    `service_account` is NAMESPACE:NAME of the Kubernetes service account that may assume it.
    """

    name: str
    policy: Role
    service_account: str

    @property
    def subject(self) -> str:
        """The `sub` claim of the service account's token."""
        return f"system:serviceaccount:{self.service_account}"


# The service accounts are the ones that `deploy eks` and `deploy serve kubernetes` print.
MACHINE_ROLES = (
    MachineRole("runner", Role.RUNNER, "default:tests"),
    MachineRole("serve", Role.READER, "default:orchestrator"),
)
# A machine outside AWS needs an access key, and only a user can have one.
BENCH_USER = "bench"


@dataclass(frozen=True, slots=True)
class Access:
    """What the roles depend on: the bucket's demands, the partition, an OIDC provider's ARN.

    With a provider, service accounts can also assume the roles with their own token (IAM roles
    for service accounts). EKS Pod Identity always works.
    """

    demands: BucketDemands = NO_DEMANDS
    partition: str = "aws"
    oidc_provider: str | None = None

    def __post_init__(self) -> None:
        if self.oidc_provider is not None:
            validate("OIDC provider", self.oidc_provider)


def trust_statements(access: Access, subjects: Any) -> list[dict[str, Any]]:
    """Return the trust policy of a machine role. `subjects` are the allowed `sub` claims."""
    statements = [
        _trust("Instances", {"Service": "ec2.amazonaws.com"}, "sts:AssumeRole"),
        _trust("Pods", {"Service": "pods.eks.amazonaws.com"}, "sts:AssumeRole", "sts:TagSession"),
    ]
    if access.oidc_provider is not None:
        issuer = access.oidc_provider.partition(":oidc-provider/")[2]
        provider = {"Federated": access.oidc_provider}
        tokens = _trust("ServiceAccounts", provider, "sts:AssumeRoleWithWebIdentity")
        claims = {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": subjects}
        statements.append(tokens | {"Condition": {"StringEquals": claims}})
    return statements


def _trust(sid: str, principal: dict[str, str], *actions: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Principal": principal, "Action": list(actions)}
