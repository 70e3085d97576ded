"""The Kubernetes manifests that run a test suite on EKS: a service account and a Job.

The container with the tests is not trusted: it gets no AWS credentials, no Kubernetes token and no
way to become root. A sidecar stores its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator_cli.infrastructure.runners.eks_scripts import RELAY, SIDECAR, TESTS, with_hold
from orchestrator_cli.infrastructure.runners.pods import (
    CONTAINER_SECURITY,
    POD_SECURITY,
    PROGRAM_RESOURCES,
    service_account,
)
from orchestrator_cli.infrastructure.target import BucketTarget, validate, validate_argument
from orchestrator_cli.infrastructure.yaml import render_yaml

# How long a pod that is deleted or drained has to store its output.
GRACE_SECONDS = 600
# Kubernetes deletes a finished Job and its pod after this long.
KEEP_FINISHED_SECONDS = 24 * 3600
_STARTING_SECONDS = 300
_TESTS = "tests"
# The user has no home directory in the images, and many programs want one.
_HOME = {"name": "HOME", "value": "/tmp"}  # noqa: S108 - private to the container


class ManifestSet(StrEnum):
    """Which manifests to render."""

    ALL = "all"
    ACCOUNT = "account"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a Job runs. `image` contains this program, `test_image` the tests; both need sh.

    `cpu` and `memory` are the limits of the container with the tests, as Kubernetes quantities.
    After the tests have ended, the pod waits for S3 for at most `hold_seconds`.
    """

    name: str
    namespace: str
    image: str
    test_image: str
    suite: str | None
    command: tuple[str, ...]
    cpu: str = "2"
    memory: str = "4Gi"
    hold_seconds: int = 3600

    def __post_init__(self) -> None:
        validate("name", self.name)
        validate("name", self.namespace)
        validate("image", self.image)
        validate("image", self.test_image)
        validate("number of CPUs", self.cpu)
        validate("amount of memory", self.memory)


def render_eks(
    target: BucketTarget, job: JobSpec, role_arn: str | None, part: ManifestSet = ManifestSet.ALL
) -> str:
    """Return a ServiceAccount, and a Job whose native sidecar stores the output of the tests.

    With `role_arn` the account uses IAM roles for service accounts; without it, the account needs
    an EKS Pod Identity association. Native sidecars need Kubernetes 1.29 or newer. The Job has a
    `generateName`, so it is created with `kubectl create`.
    """
    account = service_account({"name": job.name, "namespace": job.namespace}, role_arn)
    documents = {ManifestSet.ACCOUNT: account, ManifestSet.JOB: _job(target, job)}
    return render_yaml(*(documents[one] for one in documents if part in (ManifestSet.ALL, one)))


def _job(target: BucketTarget, job: JobSpec) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": f"{job.name}-", "namespace": job.namespace},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEEP_FINISHED_SECONDS,
            "template": {
                # EKS gives the role of the service account to all containers except these.
                "metadata": {"annotations": {"eks.amazonaws.com/skip-containers": _TESTS}},
                "spec": _pod(target, job),
            },
        },
    }


def _pod(target: BucketTarget, job: JobSpec) -> dict[str, Any]:
    return {
        "serviceAccountName": job.name,
        "automountServiceAccountToken": False,
        # Failed tests are not repeated: a second run is another Job and another execution.
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": POD_SECURITY,
        "initContainers": [_sidecar(target, job)],
        "containers": [_tests(job)],
        "volumes": [
            {"name": name, "emptyDir": {}} for name in ("artifacts", "execution", "output")
        ],
    }


def _sidecar(target: BucketTarget, job: JobSpec) -> dict[str, Any]:
    """Return the container that starts before the tests and is stopped after them."""
    suite = ("--suite", validate_argument(job.suite)) if job.suite else ()
    script = with_hold(SIDECAR, job.hold_seconds)
    return {
        "name": "store",
        "image": job.image,
        "restartPolicy": "Always",
        "command": _verbatim("sh", "-c", script, "store", RELAY, *suite),
        "env": [
            {"name": "ORCHESTRATOR_BUCKET", "value": target.bucket},
            {"name": "AWS_REGION", "value": target.region},
            _HOME,
        ],
        # Kubernetes starts the tests once this probe has succeeded.
        "startupProbe": {
            "exec": {"command": ["test", "-e", "/execution/ready"]},
            "periodSeconds": 1,
            "failureThreshold": _STARTING_SECONDS,
        },
        "resources": PROGRAM_RESOURCES,
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            _mount("artifacts", read_only=True),
            _mount("execution"),
            _mount("output"),
        ],
    }


def _tests(job: JobSpec) -> dict[str, Any]:
    limits = {"cpu": job.cpu, "memory": job.memory}
    script = with_hold(TESTS, job.hold_seconds)
    return {
        "name": _TESTS,
        "image": job.test_image,
        "command": _verbatim("sh", "-c", script, _TESTS, *map(validate_argument, job.command)),
        "env": [_HOME],
        "resources": {"requests": limits, "limits": limits},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            _mount("artifacts"),
            # The tests can read the id of their execution and cannot change it.
            _mount("execution", read_only=True),
            _mount("output"),
        ],
    }


def _verbatim(*words: str) -> Sequence[str]:
    """Return a command with its dollars doubled, because Kubernetes expands `$(NAME)` and `$$`."""
    return [word.replace("$", "$$") for word in words]


def _mount(name: str, read_only: bool = False) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": name, "mountPath": f"/{name}"}
    return mount | ({"readOnly": True} if read_only else {})
