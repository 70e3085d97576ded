"""The user data with which an EC2 instance runs a suite and stores its output."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from orchestrator_cli.infrastructure.target import BucketTarget, one_line


def render_ec2(
    target: BucketTarget, package: str, suite: str | None, artifacts: str, command: Sequence[str]
) -> str:
    """Return user data: installs the tool, and runs a command whose output is stored.

    Credentials come from the instance's role. `artifacts` is the directory the command fills.
    """
    named = f" --suite {shlex.quote(one_line(suite))}" if suite else ""
    words = " ".join(shlex.quote(one_line(word)) for word in command)
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
/opt/orchestrator/bin/pip install --quiet {shlex.quote(one_line(package))}

export PATH="/opt/orchestrator/bin:$PATH"
export ORCHESTRATOR_BUCKET={target.bucket}
export AWS_REGION={target.region}
mkdir -p /var/lib/orchestrator
cd /var/lib/orchestrator
mkdir -p -- {shlex.quote(one_line(artifacts))}

code=0
orchestrator run --runner-type ec2{named} --artifacts {shlex.quote(one_line(artifacts))} \\
  --spool /var/lib/orchestrator/spool -- {words} || code=$?

# What S3 did not get stays in the spool; this stores it where the network is back.
for left in /var/lib/orchestrator/spool/*/; do
  if [[ -d $left ]]; then orchestrator run --resume "$left" || true; fi
done
exit "$code"
"""
