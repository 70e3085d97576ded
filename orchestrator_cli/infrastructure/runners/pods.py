"""What all pods have in common: their user, their restrictions, and their service account."""

from __future__ import annotations

from typing import Any

from orchestrator_cli.infrastructure.target import validate

# Any user but root. The images need no entry for it.
USER_ID = 10001
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER_ID,
    "runAsGroup": USER_ID,
    # The group of the mounted directories and of the token for the role.
    "fsGroup": USER_ID,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# For a container that runs this program.
PROGRAM_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "2", "memory": "1Gi"},
}


def service_account(metadata: dict[str, Any], role_arn: str | None) -> dict[str, Any]:
    """Return a ServiceAccount, with the annotation for a role if there is one. Raises UsageError.

    No pod gets its Kubernetes token.
    """
    if role_arn is not None:
        role = {"eks.amazonaws.com/role-arn": validate("role ARN", role_arn)}
        metadata = {**metadata, "annotations": role}
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "automountServiceAccountToken": False,
    }
