"""The three steps of a CI job, in POSIX shell: begin, test, store.

They pass files to each other in a directory of the workspace, because each CI system passes
variables between steps in a way of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.infrastructure.target import shell_quote, validate, validate_line


@dataclass(frozen=True, slots=True)
class CiJob:
    """What a job installs and runs.

    `role_arn` is the role that the job assumes with its OIDC token; None if it has access keys.
    """

    package: str
    suite: str | None
    artifacts: str
    command: Sequence[str]
    role_arn: str | None = None

    def __post_init__(self) -> None:
        if self.role_arn is not None:
            validate("role ARN", self.role_arn)
        if self.artifacts.startswith(("-", "/")):
            raise UsageError("--artifacts is a directory of the workspace")


# The id is made offline: S3 may be unavailable now and be back when there is something to store.
_BEGIN = Template("""\
rm -rf .orchestrator
if python3 -m venv .orchestrator &&
  .orchestrator/bin/pip install --quiet $package; then
  .orchestrator/bin/orchestrator new --offline >.orchestrator/id
else
  echo 'orchestrator cannot be installed: nothing will be stored' >&2
fi
""")
_TEST = Template("""\
mkdir -p .orchestrator $artifacts
ORCHESTRATOR_EXECUTION_ID=$$(cat .orchestrator/id) || true
export ORCHESTRATOR_EXECUTION_ID
{
  code=0
  $command || code=$$?
  echo "$$code" >.orchestrator/code
} 2>&1 | tee $artifacts/stdout.log
exit "$$(cat .orchestrator/code)"
""")
# Each command runs even if the one before it failed. What is not stored is named in the record, or
# is stored when the step runs again.
_STORE = Template("""\
if [ ! -s .orchestrator/id ]; then exit 0; fi
ORCHESTRATOR_EXECUTION_ID=$$(cat .orchestrator/id)
export ORCHESTRATOR_EXECUTION_ID PATH="$$PWD/.orchestrator/bin:$$PATH"
orchestrator new --id "$$ORCHESTRATOR_EXECUTION_ID"$suite$labels || true
orchestrator upload $artifacts --if-no-files-found warn || true
orchestrator finish --result "$$RESULT"
""")


def begin(job: CiJob) -> str:
    """Return the step that installs orchestrator and makes an execution id. It may fail."""
    return _BEGIN.substitute(package=shell_quote(validate_line(job.package)))


def test(job: CiJob) -> str:
    """Return the step that runs the tests and exits with their exit code."""
    return _TEST.substitute(
        artifacts=shell_quote(validate_line(job.artifacts)),
        command=" ".join(map(shell_quote, job.command)),
    )


def store(job: CiJob, labels: dict[str, str]) -> str:
    """Return the step that stores the output. It takes the result from $RESULT, and may fail.

    The values of `labels` are written between double quotes, so that the shell expands variables
    of the CI system in them.
    """
    suite = f" --suite {shell_quote(validate_line(job.suite))}" if job.suite else ""
    options = "".join(f' \\\n  --label {name}="{value}"' for name, value in labels.items())
    artifacts = shell_quote(validate_line(job.artifacts))
    return _STORE.substitute(artifacts=artifacts, suite=suite, labels=options)
