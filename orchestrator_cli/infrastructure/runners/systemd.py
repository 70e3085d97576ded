"""The systemd units that sync a bench: one that watches, or a service and its timer."""

from __future__ import annotations

from orchestrator_cli.infrastructure.target import BucketTarget, validate


def render_systemd(
    target: BucketTarget,
    root: str,
    bench_id: str | None,
    user: str,
    program: str,
    timer_every: str | None,
) -> str:
    """Return the unit that syncs a bench for months, or a service and its timer.

    `timer_every` is a span as systemd takes it, such as 5m; None is the unit that watches.
    """
    validate("root", root)
    validate("root", program)
    validate("user", user)
    bench = f" --bench {validate('bench', bench_id)}" if bench_id else ""
    command = f"{program} sync-efs --root {root}{bench}"
    if timer_every is None:
        return _service(target, user, f"{command} --watch", _WATCHING)
    validate("duration", timer_every)
    return _service(target, user, command, _ONCE) + "\n" + _TIMER.format(every=timer_every)


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


def _service(target: BucketTarget, user: str, command: str, rest: str) -> str:
    return f"""\
# /etc/systemd/system/orchestrator-sync.service
[Unit]
Description=Store what benches left in S3
Documentation=man:orchestrator-sync-efs(1) man:orchestrator-deployment(7)
Wants=network-online.target
After=network-online.target remote-fs.target

[Service]
User={user}
Environment=ORCHESTRATOR_BUCKET={target.bucket} AWS_REGION={target.region}
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
