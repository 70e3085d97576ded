"""The scripts that an EC2 instance runs, and its systemd unit. `@name@` is a placeholder."""

from __future__ import annotations

import re

from orchestrator_cli.infrastructure.runners.storing import STORE

_PLACEHOLDER = re.compile(r"@(\w+)@")


def _template(script: str) -> str:
    """Return a script as a `string.Template`, in which each dollar of the shell is escaped."""
    return _PLACEHOLDER.sub(r"${\1}", script.replace("$", "$$"))


USER_DATA = _template("""\
#!/bin/bash
# Runs once, as root, at the first boot. Its output is in /var/log/cloud-init-output.log.
# shellcheck disable=SC2016
set -euo pipefail
package=@package@
work=/var/lib/orchestrator
export HOME=/root ORCHESTRATOR_BUCKET=@bucket@ AWS_REGION=@region@
# Take the role's credentials from version 2 of the metadata service only.
export AWS_EC2_METADATA_V1_DISABLED=true

give_up() {
  echo "orchestrator: $1; no test was run" | tee /dev/console >&2 || true
  @shutdown@
  exit 1
}
# $1 is the name of a package of Amazon Linux, $2 that of Ubuntu.
install_package() {
  if command -v dnf >/dev/null; then
    dnf install -y "$1"
  else
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 update
    apt-get -o DPkg::Lock::Timeout=300 install -y "$2"
  fi
}
# Sets $python to a Python that is new enough and can make a virtual environment.
find_python() {
  for python in python3.13 python3.12 python3.11 python3; do
    if "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      return
    fi
  done
  return 1
}
install_tool() {
  find_python || install_package python3.11 python3-venv || return
  if find_python; then
    "$python" -m venv /opt/orchestrator &&
      /opt/orchestrator/bin/pip install --quiet "$package"
  else
    # Ubuntu 22.04 has no package of Python 3.11 or newer; uv downloads one.
    export UV_PYTHON_INSTALL_DIR=/opt/python
    python3 -m venv /opt/uv &&
      /opt/uv/bin/pip install --quiet uv &&
      /opt/uv/bin/uv venv --python 3.12 /opt/orchestrator &&
      /opt/uv/bin/uv pip install --python /opt/orchestrator/bin/python "$package"
  fi
}

install_tool || give_up "it cannot be installed"
export PATH="/opt/orchestrator/bin:$PATH"
if @needs_git@ && ! command -v git >/dev/null; then
  install_package git git || give_up "git cannot be installed"
fi

# Exit code 9 means that S3 is unavailable: run the tests and store their output later. Any other
# failure, such as a missing bucket or missing permissions, will not go away.
code=0
id=$(orchestrator new --runner-type ec2@suite@) || code=$?
if [[ $code -eq 9 ]]; then
  id=$(orchestrator new --offline)
elif [[ $code -ne 0 ]]; then
  give_up "nothing can be stored in $ORCHESTRATOR_BUCKET (exit code $code)"
fi

mkdir -p "$work/tests" /etc/orchestrator
cd "$work/tests"
mkdir -p -- @artifacts@
cat >/etc/orchestrator/environment <<ENVIRONMENT
PATH=$PATH
HOME=$HOME
ORCHESTRATOR_BUCKET=$ORCHESTRATOR_BUCKET
AWS_REGION=$AWS_REGION
AWS_EC2_METADATA_V1_DISABLED=true
EXECUTION_ID=$id
ARTIFACTS=$(realpath -- @artifacts@)
ENVIRONMENT
printf '%s' @prepare@ >"$work/prepare"
printf '%s' @store@ >"$work/store"
printf '%s' @unit@ >/etc/systemd/system/orchestrator-spool.service
systemctl daemon-reload
systemctl enable orchestrator-spool.service

code=0
orchestrator run --id "$id" --runner-type ec2@suite@ --artifacts @artifacts@ \\
  --spool "$work/spool" -- bash "$work/prepare" @command@ || code=$?
systemctl start --no-block orchestrator-spool.service
exit "$code"
""")

PREPARE = _template("""\
#!/bin/bash
# Fetches the tests, then executes them. If a step fails, the script kills itself, so that the
# result of the execution is `error` and not `fail`.
trap 'kill -KILL "$$"' ERR
@steps@command -v "$1" >/dev/null
trap - ERR
exec "$@"
""")
FETCH_S3 = _template("""\
/opt/orchestrator/bin/python -c \\
  'import boto3, sys; boto3.client("s3").download_file(*sys.argv[1:])' \\
  @bucket@ @key@ @name@
""")
UNPACK_TAR = _template("tar -xf @name@\n")
UNPACK_ZIP = _template("/opt/orchestrator/bin/python -m zipfile -e @name@ .\n")
FETCH_GIT = _template("""\
git init --quiet .
git fetch --quiet --depth 1 @url@ @ref@
git checkout --quiet FETCH_HEAD
""")
SETUP = _template("bash -c @setup@\n")

UNIT_SCRIPT = _template(f"""\
#!/bin/bash
# Stores what is not in S3 yet. The unit that runs it restarts it while a retry may help.
id=$EXECUTION_ID
artifacts=${{ARTIFACTS:?}}
spools=/var/lib/orchestrator/spool
results=/var/lib/orchestrator/upload.json
work() {{ "$@"; }}
{STORE}store
code=$?
if [[ $code -eq 6 ]]; then report_final; fi
@terminate@exit "$code"
""")
TERMINATE = _template("""\
# This script starts only after the tests have ended. The file keeps the time of its first start.
ended=/var/lib/orchestrator/ended
if [[ ! -e $ended ]]; then touch "$ended"; fi
is_over=$(find "$ended" -mmin +@hold_minutes@)
if [[ $code -eq 0 || $code -eq 6 || -n $is_over ]]; then
  shutdown -h now
fi
""")
UNIT = """\
[Unit]
Description=Store the output of tests that is not in S3 yet
Documentation=man:orchestrator-deployment(7)
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
EnvironmentFile=/etc/orchestrator/environment
ExecStart=/bin/bash /var/lib/orchestrator/store
Restart=on-failure
RestartSec=60
RestartPreventExitStatus=6

[Install]
WantedBy=multi-user.target
"""
