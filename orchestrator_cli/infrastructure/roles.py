"""Who may use the bucket, as data: a policy for each role, and what may take it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator_cli.core.s3.demands import NO_DEMANDS, BucketDemands
from orchestrator_cli.infrastructure.iam import Role
from orchestrator_cli.infrastructure.target import validate

# What every name begins with, so that two buckets can have roles in one account.
NAME_PREFIX = "orchestrator"


@dataclass(frozen=True, slots=True)
class MachineRole:
    """A role of instances and pods; its name follows the prefix. `account` is who of EKS has it."""

    name: str
    policy: Role
    account: str

    @property
    def subject(self) -> str:
        """What the token of the service account says."""
        return f"system:serviceaccount:{self.account}"


# The service accounts are those that `deploy eks` and `deploy serve kubernetes` print.
MACHINE_ROLES = (
    MachineRole("runner", Role.RUNNER, "default:tests"),
    MachineRole("serve", Role.READER, "default:orchestrator"),
)
# A machine outside of AWS has an access key, which only a user can have.
BENCH_USER = "bench"


@dataclass(frozen=True, slots=True)
class Access:
    """What roles are made for: the demands of the bucket, its partition, an OIDC provider's ARN.

    With a provider, service accounts have roles by their own token, else by EKS Pod Identity alone.
    """

    demands: BucketDemands = NO_DEMANDS
    partition: str = "aws"
    oidc_provider: str | None = None

    def __post_init__(self) -> None:
        if self.oidc_provider is not None:
            validate("OIDC provider", self.oidc_provider)


def trust_statements(access: Access, subjects: Any) -> list[dict[str, Any]]:
    """Return who may take on a role of machines. `subjects` are what tokens may say."""
    statements = [
        _trust("Instances", {"Service": "ec2.amazonaws.com"}, "sts:AssumeRole"),
        _trust("Pods", {"Service": "pods.eks.amazonaws.com"}, "sts:AssumeRole", "sts:TagSession"),
    ]
    if access.oidc_provider is not None:
        issuer = access.oidc_provider.partition(":oidc-provider/")[2]
        provider = {"Federated": access.oidc_provider}
        tokens = _trust("ServiceAccounts", provider, "sts:AssumeRoleWithWebIdentity")
        told = {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": subjects}
        statements.append(tokens | {"Condition": {"StringEquals": told}})
    return statements


def _trust(sid: str, principal: dict[str, str], *actions: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Principal": principal, "Action": list(actions)}
