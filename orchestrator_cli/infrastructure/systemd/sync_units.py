"""The systemd units that sync benches: a service that watches, or a service and a timer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from orchestrator_cli.infrastructure.systemd.hardening import HARDENING
from orchestrator_cli.infrastructure.target import BucketTarget, validate


class UnitPart(StrEnum):
    """Which units to render."""

    ALL = "all"
    SERVICE = "service"
    TIMER = "timer"


@dataclass(frozen=True, slots=True)
class SyncUnit:
    """What is synced, and as which user. Without `bench_id`, every bench below `root` is synced.

    `group` is the group that may read and delete the files of all benches, or None for the user's
    own. `timer_every` is a time span such as 5m, or None for a service that watches.
    """

    root: str
    bench_id: str | None
    user: str
    group: str | None
    program: str
    timer_every: str | None

    def __post_init__(self) -> None:
        validate("absolute path", self.root)
        validate("absolute path", self.program)
        validate("user or group", self.user)
        if self.group is not None:
            validate("user or group", self.group)
        if self.bench_id is not None:
            validate("bench", self.bench_id)
        if self.timer_every is not None:
            validate("duration", self.timer_every)

    @property
    def name(self) -> str:
        """The name of the units. Two benches on one machine have units of their own."""
        return f"orchestrator-sync-{self.bench_id}" if self.bench_id else "orchestrator-sync"


def render_systemd(target: BucketTarget, unit: SyncUnit, part: UnitPart = UnitPart.ALL) -> str:
    """Return a service that watches or, with `timer_every`, a service and its timer."""
    texts = []
    if part is not UnitPart.TIMER:
        texts.append(_service(target, unit))
    if part is not UnitPart.SERVICE and unit.timer_every is not None:
        texts.append(_TIMER.format(name=unit.name, every=unit.timer_every))
    return "\n".join(texts)


_WATCHING = """\
Type=exec
Restart=always
RestartSec=30
# Exit status 2 means a wrong option or setting: a restart would not help.
RestartPreventExitStatus=2
# After SIGTERM it finishes the file it is uploading. A file that is cut off resumes at the next
# start.
TimeoutStopSec=15min

[Install]
WantedBy=multi-user.target
"""
_ONCE = """\
Type=oneshot
# 3: some files could not be stored; 9: S3 was unavailable. The next run tries again.
SuccessExitStatus=3 9
"""
_TIMER = """\
# /etc/systemd/system/{name}.timer
[Unit]
Description=Store the output of test benches in S3 periodically

[Timer]
OnBootSec=1m
OnUnitInactiveSec={every}
RandomizedDelaySec=10s

[Install]
WantedBy=timers.target
"""


def _service(target: BucketTarget, unit: SyncUnit) -> str:
    bench = f" --bench {unit.bench_id}" if unit.bench_id else ""
    watch = " --watch" if unit.timer_every is None else ""
    group = f"Group={unit.group}\nUMask=0007\n" if unit.group else ""
    programs = PurePath(unit.program).parent
    return f"""\
# /etc/systemd/system/{unit.name}.service
[Unit]
Description=Store the output of test benches in S3
Documentation=man:orchestrator-sync-efs(1) man:orchestrator-deployment(7)
Wants=network-online.target
After=network-online.target
RequiresMountsFor={unit.root}

[Service]
User={unit.user}
{group}Environment=ORCHESTRATOR_BUCKET={target.bucket} AWS_REGION={target.region}
Environment=PATH={programs}:/usr/local/bin:/usr/bin:/bin
# AWS credentials, unless the machine has a role: AWS_PROFILE, or AWS_ACCESS_KEY_ID and
# AWS_SECRET_ACCESS_KEY.
EnvironmentFile=-/etc/orchestrator/environment
ExecStart={unit.program} sync-efs --root {unit.root}{bench}{watch}
Nice=10
IOSchedulingClass=idle
{HARDENING}{_WATCHING if unit.timer_every is None else _ONCE}"""
