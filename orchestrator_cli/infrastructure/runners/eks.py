"""The Kubernetes manifests of a suite on EKS: a service account, and a Job with a sidecar.

The container with the tests runs code that nobody here has read. It gets no AWS credentials, no
token of Kubernetes and no right of root; what it leaves, the sidecar stores.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator_cli.infrastructure.target import BucketTarget, one_line, validate
from orchestrator_cli.infrastructure.yaml import render_yaml

# A Job's pod has this long to store what it left; S3 takes a GiB in seconds.
GRACE_SECONDS = 600
# A finished Job and its pod are removed after this long; what they stored stays.
KEEP_FINISHED_SECONDS = 24 * 3600
# Nobody in particular: the images need not know it, and it must not be root.
USER_ID = 10001
_TESTS = "tests"
_VOLUMES = ("artifacts", "execution", "result")

# Kubernetes stops a sidecar once the main container has ended, with SIGTERM; what is written then
# is whole. As process 1 a shell takes only signals that it has a trap for.
SIDECAR = """\
ended=
trap 'ended=yes' TERM
until [ -n "$ended" ]; do sleep 1 & wait "$!"; done
id=$(cat /execution/id)
orchestrator upload "$id" /artifacts --if-no-files-found warn
code=$?
result=$(head -c 8 /result/result 2>/dev/null)
case "$result" in pass | fail) ;; *) result=error ;; esac
orchestrator finish "$id" --result "$result" || code=$?
exit "$code"
"""
_MAIN = """\
code=0
"$@" >/artifacts/stdout.log 2>/artifacts/stderr.log || code=$?
if [ "$code" -eq 0 ]; then echo pass; else echo fail; fi >/result/result
exit "$code"
"""
_CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER_ID,
    "runAsGroup": USER_ID,
    # The token of the runner's role, and the shared directories, belong to this group.
    "fsGroup": USER_ID,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_TOOL_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "2", "memory": "1Gi"},
}


class Part(StrEnum):
    """Which manifests to print."""

    ALL = "all"
    ACCOUNT = "account"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a Job runs: `image` holds this tool, `test_image` the tests; both hold sh.

    `cpu` and `memory` are the limits of the tests' container, as Kubernetes writes them.
    """

    name: str
    namespace: str
    image: str
    test_image: str
    suite: str | None
    command: tuple[str, ...]
    cpu: str = "2"
    memory: str = "4Gi"

    def __post_init__(self) -> None:
        validate("name", self.name)
        validate("name", self.namespace)
        validate("image", self.image)
        validate("image", self.test_image)
        validate("number of CPUs", self.cpu)
        validate("amount of memory", self.memory)


def render_eks(
    target: BucketTarget, job: JobSpec, role_arn: str | None, part: Part = Part.ALL
) -> str:
    """Return a ServiceAccount and a Job whose native sidecar stores what the tests left.

    With `role_arn` the account uses IAM roles for service accounts; without one, an EKS Pod
    Identity association has to name it. Needs Kubernetes 1.29 or newer. Each Job gets a name of its
    own, so that it is made with `kubectl create`.
    """
    documents = {Part.ACCOUNT: _account(job, role_arn), Part.JOB: _job(target, job)}
    return render_yaml(*(documents[one] for one in documents if part in (Part.ALL, one)))


def _account(job: JobSpec, role_arn: str | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": job.name, "namespace": job.namespace}
    if role_arn is not None:
        metadata["annotations"] = {"eks.amazonaws.com/role-arn": validate("role ARN", role_arn)}
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "automountServiceAccountToken": False,
    }


def _job(target: BucketTarget, job: JobSpec) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": f"{job.name}-", "namespace": job.namespace},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEEP_FINISHED_SECONDS,
            "template": {
                # EKS gives the role of the service account to every container but these.
                "metadata": {"annotations": {"eks.amazonaws.com/skip-containers": _TESTS}},
                "spec": _pod(target, job),
            },
        },
    }


def _pod(target: BucketTarget, job: JobSpec) -> dict[str, Any]:
    return {
        "serviceAccountName": job.name,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": _POD_SECURITY,
        "initContainers": _tool_containers(target, job),
        "containers": [_tests(job)],
        "volumes": [
            {"name": name, "emptyDir": {}} for name in ("artifacts", "execution", "result")
        ],
    }


def _tool_containers(target: BucketTarget, job: JobSpec) -> list[dict[str, Any]]:
    """Return the container that makes the execution, and the sidecar that stores its files."""
    suite = f" --suite {shlex.quote(one_line(job.suite))}" if job.suite else ""
    new = f"orchestrator new --runner-type eks{suite} >/execution/id"
    tool = {
        "image": job.image,
        "env": [
            {"name": "ORCHESTRATOR_BUCKET", "value": target.bucket},
            {"name": "AWS_REGION", "value": target.region},
        ],
        "resources": _TOOL_RESOURCES,
        "securityContext": _CONTAINER_SECURITY,
    }
    stores = {
        "name": "store",
        **tool,
        # A sidecar: it starts before the tests and is stopped after them.
        "restartPolicy": "Always",
        "command": ["sh", "-c", SIDECAR],
        "volumeMounts": [
            _mount("artifacts"),
            _mount("execution", read_only=True),
            _mount("result", read_only=True),
        ],
    }
    makes = {
        "name": "new",
        **tool,
        "command": ["sh", "-ec", new],
        "volumeMounts": [_mount("execution")],
    }
    return [makes, stores]


def _tests(job: JobSpec) -> dict[str, Any]:
    limits = {"cpu": job.cpu, "memory": job.memory}
    return {
        "name": _TESTS,
        "image": job.test_image,
        "command": ["sh", "-c", _MAIN, _TESTS, *map(one_line, job.command)],
        "resources": {"requests": limits, "limits": limits},
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": [
            _mount("artifacts"),
            # The tests may read which execution they are, and must not choose another.
            _mount("execution", read_only=True),
            _mount("result"),
        ],
    }


def _mount(name: str, read_only: bool = False) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": name, "mountPath": f"/{name}"}
    return mount | ({"readOnly": True} if read_only else {})
