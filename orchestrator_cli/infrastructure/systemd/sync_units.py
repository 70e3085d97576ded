"""The systemd units that sync a bench: one that watches, or a service and its timer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from orchestrator_cli.infrastructure.systemd.hardening import HARDENING
from orchestrator_cli.infrastructure.target import BucketTarget, validate


class UnitPart(StrEnum):
    """Which of the units to print."""

    ALL = "all"
    SERVICE = "service"
    TIMER = "timer"


@dataclass(frozen=True, slots=True)
class SyncUnit:
    """What is synced and as whom; without `bench_id` every bench below `root`.

    `group` may read and delete what benches of other users have written; None is the user's own.
    `timer_every` is a span as systemd takes it, such as 5m; None is a service that watches.
    """

    root: str
    bench_id: str | None
    user: str
    group: str | None
    program: str
    timer_every: str | None

    def __post_init__(self) -> None:
        validate("root", self.root)
        validate("root", self.program)
        validate("user", self.user)
        if self.group is not None:
            validate("user", self.group)
        if self.bench_id is not None:
            validate("bench", self.bench_id)
        if self.timer_every is not None:
            validate("duration", self.timer_every)

    @property
    def name(self) -> str:
        """What its units are called: those of two benches on one machine differ."""
        return f"orchestrator-sync-{self.bench_id}" if self.bench_id else "orchestrator-sync"


def render_systemd(target: BucketTarget, unit: SyncUnit, part: UnitPart = UnitPart.ALL) -> str:
    """Return the unit that syncs for months, or a service and its timer."""
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
# A setting that cannot be used is for somebody to mend.
RestartPreventExitStatus=2
# SIGTERM ends the file in hand; what is cut off goes on from its last part.
TimeoutStopSec=15min

[Install]
WantedBy=multi-user.target
"""
_ONCE = """\
Type=oneshot
# 3: some files failed and stay where they are; the next run tries them again. So it does with 9.
SuccessExitStatus=3 9
"""
_TIMER = """\
# /etc/systemd/system/{name}.timer
[Unit]
Description=Store what benches left, again and again

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
Description=Store what benches left in S3
Documentation=man:orchestrator-sync-efs(1) man:orchestrator-deployment(7)
Wants=network-online.target
After=network-online.target
RequiresMountsFor={unit.root}

[Service]
User={unit.user}
{group}Environment=ORCHESTRATOR_BUCKET={target.bucket} AWS_REGION={target.region}
Environment=PATH={programs}:/usr/local/bin:/usr/bin:/bin
# Credentials, where the machine has none of its own: AWS_PROFILE=… or a key.
EnvironmentFile=-/etc/orchestrator/environment
ExecStart={unit.program} sync-efs --root {unit.root}{bench}{watch}
Nice=10
IOSchedulingClass=idle
{HARDENING}{_WATCHING if unit.timer_every is None else _ONCE}"""
