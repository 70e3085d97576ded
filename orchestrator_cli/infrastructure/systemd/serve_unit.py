"""The unit of a server, which listens on loopback for what stands before it."""

from __future__ import annotations

from orchestrator_cli.infrastructure.systemd.hardening import HARDENING
from orchestrator_cli.infrastructure.target import BucketTarget, validate

TOKENS = "/etc/orchestrator/tokens"


def render_serve_unit(target: BucketTarget, user: str, program: str, port: int) -> str:
    """Return the unit. The file of tokens is read again whenever it changes."""
    validate("user", user)
    validate("root", program)
    return f"""\
# /etc/systemd/system/orchestrator-serve.service
[Unit]
Description=Serve what tests left in S3
Documentation=man:orchestrator-serve(1) man:orchestrator-deployment(7)
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User={user}
Environment=ORCHESTRATOR_BUCKET={target.bucket} AWS_REGION={target.region}
# Credentials, where the machine has none of its own: AWS_PROFILE=… or a key.
EnvironmentFile=-/etc/orchestrator/environment
ExecStart={program} serve --host 127.0.0.1 --port {port} --tokens {TOKENS}
Restart=always
RestartSec=5
# SIGTERM answers what has begun.
TimeoutStopSec=1min
LimitNOFILE=65536
{HARDENING}
[Install]
WantedBy=multi-user.target
"""
