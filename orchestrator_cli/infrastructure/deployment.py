"""The files that put the tool to work: systemd units, EC2 user data, EKS manifests, IAM policies.

Every value that goes into a file is checked against what may stand there, so that none needs more
quoting than its place gives it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable

_PATTERNS = {
    "bucket": r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
    "region": r"[a-z]{2}(-[a-z]+)+-\d",
    "bench": r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    "root": r"/[A-Za-z0-9/._-]*",
    "user": r"[a-z_][a-z0-9_-]{0,31}",
    "name": r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
    "image": r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}",
    "role ARN": r"arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9+=,.@_/-]+",
    "duration": r"\d+(ms|s|m|h|d|w)",
}
# A Job's pod has this long to store what it left; S3 takes a GiB in seconds.
GRACE_SECONDS = 600


class Role(StrEnum):
    """Who needs access to the bucket."""

    RUNNER = "runner"
    BENCH = "bench"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is stored."""

    bucket: str
    region: str

    def __post_init__(self) -> None:
        check("bucket", self.bucket)
        check("region", self.region)


def check(what: str, value: str) -> str:
    """Return a value that may stand in a file. Raises UsageError."""
    if not re.fullmatch(_PATTERNS[what], value, re.ASCII):
        raise UsageError(f"not a {what} for these files: {printable(value)!r}")
    return value


# --- systemd ---------------------------------------------------------------------------------


def render_systemd(
    place: Place, root: str, bench_id: str | None, user: str, program: str, timer_every: str | None
) -> str:
    """Return the unit that syncs a bench for months, or a service and its timer.

    `timer_every` is a span as systemd takes it, such as 5m; None is the unit that watches.
    """
    check("root", root)
    check("root", program)
    check("user", user)
    bench = f" --bench {check('bench', bench_id)}" if bench_id else ""
    command = f"{program} sync-efs --root {root}{bench}"
    if timer_every is None:
        return _service(place, user, f"{command} --watch", _WATCHING)
    check("duration", timer_every)
    return _service(place, user, command, _ONCE) + "\n" + _TIMER.format(every=timer_every)


_WATCHING = """\
Type=exec
Restart=always
RestartSec=30
# SIGTERM ends the file in hand; what is cut off goes on from its last part.
TimeoutStopSec=15min

[Install]
WantedBy=multi-user.target
"""
_ONCE = """\
Type=oneshot
# 3: some files failed and stay where they are; the next run tries them again.
SuccessExitStatus=3
"""
_TIMER = """\
# /etc/systemd/system/orchestrator-sync.timer
[Unit]
Description=Store what benches left, again and again

[Timer]
OnBootSec=1m
OnUnitInactiveSec={every}
RandomizedDelaySec=10s

[Install]
WantedBy=timers.target
"""


def _service(place: Place, user: str, command: str, rest: str) -> str:
    return f"""\
# /etc/systemd/system/orchestrator-sync.service
[Unit]
Description=Store what benches left in S3
Documentation=man:orchestrator-sync-efs(1) man:orchestrator-deployment(7)
Wants=network-online.target
After=network-online.target remote-fs.target

[Service]
User={user}
Environment=ORCHESTRATOR_BUCKET={place.bucket} AWS_REGION={place.region}
# Credentials, where the machine has none of its own: AWS_PROFILE=… or a key.
EnvironmentFile=-/etc/orchestrator/environment
ExecStart={command}
Nice=10
IOSchedulingClass=idle
MemoryMax=1G
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=full
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictSUIDSGID=yes
LockPersonality=yes
{rest}"""


# --- EC2 -------------------------------------------------------------------------------------


def render_ec2(
    place: Place, package: str, suite: str | None, artifacts: str, command: Sequence[str]
) -> str:
    """Return user data: installs the tool, and runs a command whose output is stored.

    Credentials come from the instance's role. `artifacts` is the directory the command fills.
    """
    named = f" --suite {shlex.quote(_one_line(suite))}" if suite else ""
    words = " ".join(shlex.quote(_one_line(word)) for word in command)
    return f"""\
#!/bin/bash
# Runs once, as root, at the first boot; its own output is in /var/log/cloud-init-output.log.
set -euo pipefail

if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'; then
  if command -v dnf >/dev/null; then
    dnf install -y python3.11
  else
    apt-get update && apt-get install -y python3 python3-venv
  fi
fi
python=$(command -v python3.11 || command -v python3)
"$python" -m venv /opt/orchestrator
/opt/orchestrator/bin/pip install --quiet {shlex.quote(_one_line(package))}

export PATH="/opt/orchestrator/bin:$PATH"
export ORCHESTRATOR_BUCKET={place.bucket}
export AWS_REGION={place.region}
mkdir -p /var/lib/orchestrator
cd /var/lib/orchestrator
mkdir -p {shlex.quote(_one_line(artifacts))}

code=0
orchestrator run --runner-type ec2{named} --artifacts {shlex.quote(_one_line(artifacts))} \\
  --spool /var/lib/orchestrator/spool -- {words} || code=$?

# What S3 did not get stays in the spool; this stores it where the network is back.
for left in /var/lib/orchestrator/spool/*/; do
  if [[ -d $left ]]; then orchestrator run --resume "$left" || true; fi
done
exit "$code"
"""


def _one_line(text: str) -> str:
    if not text or not text.isprintable():
        raise UsageError(f"not one line of text: {printable(text)!r}")
    return text


# --- EKS -------------------------------------------------------------------------------------

# Kubernetes stops a sidecar once the main container has ended, with SIGTERM; what is written then
# is whole. As process 1 a shell takes only signals that it has a trap for.
SIDECAR = """\
trap 'ended=yes' TERM
until [ -n "$ended" ]; do sleep 1 & wait "$!"; done
id=$(cat /execution/id)
orchestrator upload "$id" /artifacts --if-no-files-found warn
code=$?
orchestrator finish "$id" --result "$(cat /execution/result 2>/dev/null || echo error)" || code=$?
exit "$code"
"""
_MAIN = """\
code=0
"$@" >/artifacts/stdout.log 2>/artifacts/stderr.log || code=$?
if [ "$code" -eq 0 ]; then echo pass; else echo fail; fi >/execution/result
exit "$code"
"""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a Job runs: `image` holds this tool, `test_image` the tests; both hold sh."""

    name: str
    namespace: str
    image: str
    test_image: str
    suite: str | None
    command: tuple[str, ...]

    def __post_init__(self) -> None:
        check("name", self.name)
        check("name", self.namespace)
        check("image", self.image)
        check("image", self.test_image)


def render_eks(place: Place, job: JobSpec, role_arn: str | None) -> str:
    """Return a ServiceAccount and a Job whose native sidecar stores what the tests left.

    With `role_arn` the account uses IAM roles for service accounts; without one, an EKS Pod
    Identity association has to name it. Needs Kubernetes 1.29 or newer.
    """
    account: dict[str, object] = {"name": job.name, "namespace": job.namespace}
    if role_arn is not None:
        account["annotations"] = {"eks.amazonaws.com/role-arn": check("role ARN", role_arn)}
    documents = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        _job(place, job),
    ]
    return "---\n".join(_yaml(document, 0) for document in documents)


def _job(place: Place, job: JobSpec) -> dict[str, object]:
    new = "orchestrator new --runner-type eks" + (
        f" --suite {shlex.quote(_one_line(job.suite))}" if job.suite else ""
    )
    tool = {
        "image": job.image,
        "env": [
            {"name": "ORCHESTRATOR_BUCKET", "value": place.bucket},
            {"name": "AWS_REGION", "value": place.region},
        ],
        "volumeMounts": [
            {"name": "artifacts", "mountPath": "/artifacts"},
            {"name": "execution", "mountPath": "/execution"},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
    }
    pod = {
        "serviceAccountName": job.name,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "initContainers": [
            {
                "name": "new",
                **tool,
                "command": ["sh", "-ec", f"{new} >/execution/id"],
            },
            {
                "name": "store",
                **tool,
                # A sidecar: it starts before the tests and is stopped after them.
                "restartPolicy": "Always",
                "command": ["sh", "-c", SIDECAR],
            },
        ],
        "containers": [
            {
                "name": "tests",
                "image": job.test_image,
                "command": ["sh", "-c", _MAIN, "tests", *map(_one_line, job.command)],
                "volumeMounts": tool["volumeMounts"],
            }
        ],
        "volumes": [
            {"name": "artifacts", "emptyDir": {}},
            {"name": "execution", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name, "namespace": job.namespace},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


def _yaml(value: object, indent: int) -> str:
    """Return a mapping or a list as YAML, with JSON's scalars, which YAML includes."""
    pad = "  " * indent
    if isinstance(value, Mapping):
        return "".join(f"{pad}{key}:{_nested(item, indent)}" for key, item in value.items())
    if not isinstance(value, Sequence):
        raise TypeError(f"neither a mapping nor a list: {value!r}")
    return "".join(f"{pad}- {_item(item, indent)}" for item in value)


def _item(value: object, indent: int) -> str:
    if isinstance(value, Mapping):
        return _yaml(value, indent + 1).lstrip(" ")
    return _nested(value, indent).lstrip(" ")


def _nested(value: object, indent: int) -> str:
    if isinstance(value, str) and "\n" in value:
        pad = "  " * (indent + 1)
        return " |\n" + "".join(f"{pad}{line}\n" for line in value.splitlines())
    if isinstance(value, Mapping | list) and value:
        return "\n" + _yaml(value, indent + 1)
    return f" {json.dumps(value)}\n"


# --- IAM -------------------------------------------------------------------------------------

# What a command asks of S3, by what IAM calls it. HeadObject counts as GetObject, and so on:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_WRITING = (
    "s3:AbortMultipartUpload",
    "s3:GetObject",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
)
_OBJECT_ACTIONS: dict[Role, dict[str, tuple[str, ...]]] = {
    Role.RUNNER: {"executions/*": _WRITING, "history/*": _WRITING},
    Role.BENCH: {"executions/*": _WRITING},
    Role.READER: {"executions/*": ("s3:GetObject",), "history/*": ("s3:GetObject",)},
}
_BUCKET_ACTIONS = {
    Role.RUNNER: ("s3:ListBucket", "s3:ListBucketMultipartUploads"),
    Role.BENCH: ("s3:ListBucket", "s3:ListBucketMultipartUploads"),
    Role.READER: ("s3:ListBucket",),
}


def render_iam(bucket: str, role: Role, partition: str = "aws") -> str:
    """Return the least that a role needs, as an IAM policy in JSON."""
    arn = f"arn:{partition}:s3:::{check('bucket', bucket)}"
    statements: list[dict[str, object]] = [
        {
            "Sid": "ListBucket",
            "Effect": "Allow",
            "Action": list(_BUCKET_ACTIONS[role]),
            "Resource": arn,
        }
    ]
    by_actions: dict[tuple[str, ...], list[str]] = {}
    for prefix, actions in _OBJECT_ACTIONS[role].items():
        by_actions.setdefault(actions, []).append(f"{arn}/{prefix}")
    statements += [
        {"Sid": "Objects", "Effect": "Allow", "Action": list(actions), "Resource": resources}
        for actions, resources in by_actions.items()
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2) + "\n"
