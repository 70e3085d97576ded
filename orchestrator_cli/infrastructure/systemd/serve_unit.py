"""The systemd unit of `serve`, which listens on loopback behind a reverse proxy."""

from __future__ import annotations

from orchestrator_cli.infrastructure.systemd.hardening import HARDENING
from orchestrator_cli.infrastructure.target import BucketTarget, validate

_TOKENS = "/etc/orchestrator/tokens"


def render_serve_unit(target: BucketTarget, user: str, program: str, port: int) -> str:
    """Return the unit. It needs no restart when the file of tokens changes."""
    validate("user or group", user)
    validate("absolute path", program)
    return f"""\
# /etc/systemd/system/orchestrator-serve.service
[Unit]
Description=Serve the stored output of tests over HTTP
Documentation=man:orchestrator-serve(1) man:orchestrator-deployment(7)
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User={user}
Environment=ORCHESTRATOR_BUCKET={target.bucket} AWS_REGION={target.region}
# AWS credentials, unless the machine has a role: AWS_PROFILE, or AWS_ACCESS_KEY_ID and
# AWS_SECRET_ACCESS_KEY.
EnvironmentFile=-/etc/orchestrator/environment
ExecStart={program} serve --host 127.0.0.1 --port {port} --tokens {_TOKENS}
Restart=always
RestartSec=5
# After SIGTERM it finishes the requests that have begun.
TimeoutStopSec=1min
LimitNOFILE=65536
{HARDENING}
[Install]
WantedBy=multi-user.target
"""
