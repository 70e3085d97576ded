"""The Kubernetes manifests of `serve`: a ServiceAccount, a Deployment and a Service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator_cli.infrastructure.runners.pods import (
    CONTAINER_SECURITY,
    POD_SECURITY,
    PROGRAM_RESOURCES,
    service_account,
)
from orchestrator_cli.infrastructure.target import BucketTarget, validate
from orchestrator_cli.infrastructure.yaml import render_yaml

_PORT = 8080
_TOKENS = "orchestrator-tokens"


@dataclass(frozen=True, slots=True)
class ServeSpec:
    """What is deployed. Without `role_arn`, the account needs an EKS Pod Identity association."""

    name: str
    namespace: str
    image: str
    role_arn: str | None
    replicas: int = 2

    def __post_init__(self) -> None:
        validate("name", self.name)
        validate("name", self.namespace)
        validate("image", self.image)


def render_serve_kubernetes(target: BucketTarget, spec: ServeSpec) -> str:
    """Return a ServiceAccount, a Deployment and a Service. The Secret with the tokens is not here.

    It is called `orchestrator-tokens`, has one key, `tokens`, and is created by hand.
    """
    account = service_account(_metadata(spec), spec.role_arn)
    return render_yaml(account, _deployment(target, spec), _service(spec))


def _metadata(spec: ServeSpec) -> dict[str, Any]:
    return {"name": spec.name, "namespace": spec.namespace, "labels": {"app": spec.name}}


def _deployment(target: BucketTarget, spec: ServeSpec) -> dict[str, Any]:
    labels = {"app": spec.name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(spec),
        "spec": {
            "replicas": spec.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod(target, spec)},
        },
    }


def _pod(target: BucketTarget, spec: ServeSpec) -> dict[str, Any]:
    return {
        "serviceAccountName": spec.name,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 60,
        "securityContext": POD_SECURITY,
        "containers": [_container(target, spec)],
        "volumes": [
            {"name": "tokens", "secret": {"secretName": _TOKENS, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def _container(target: BucketTarget, spec: ServeSpec) -> dict[str, Any]:
    listen = ["--host", "0.0.0.0", "--port", str(_PORT)]  # noqa: S104 - requests need a token
    return {
        "name": "serve",
        "image": spec.image,
        "command": ["orchestrator", "serve", *listen, "--tokens", "/tokens/tokens"],
        "env": [
            {"name": "ORCHESTRATOR_BUCKET", "value": target.bucket},
            {"name": "AWS_REGION", "value": target.region},
        ],
        "ports": [{"name": "http", "containerPort": _PORT}],
        "startupProbe": _probe("/healthz", 2, 30),
        "livenessProbe": _probe("/healthz", 10, 3),
        # Fails while the bucket cannot be listed. A restart would not help, so it is no liveness
        # probe.
        "readinessProbe": _probe("/readyz", 10, 3),
        "resources": PROGRAM_RESOURCES,
        "securityContext": {**CONTAINER_SECURITY, "readOnlyRootFilesystem": True},
        # Mounted as a directory: changes of a Secret do not reach a file mounted with subPath.
        "volumeMounts": [
            {"name": "tokens", "mountPath": "/tokens", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - private to the container
        ],
    }


def _probe(path: str, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 10,
        "failureThreshold": failures,
    }


def _service(spec: ServeSpec) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(spec),
        "spec": {
            "selector": {"app": spec.name},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }
