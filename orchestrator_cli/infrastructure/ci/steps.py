"""The three steps of a CI job, in POSIX shell: begin, test, store.

They share a directory of the workspace, because no system hands variables on in the same way.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.infrastructure.target import any_text, one_line, validate


@dataclass(frozen=True, slots=True)
class CiJob:
    """What a job runs. `role_arn` is assumed with the job's own token, None where it has keys."""

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


# The id needs no S3: what is away now may be back when there is something to store.
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
# Each goes on where the one before could not; what is left undone is on record, or repeatable.
_STORE = Template("""\
if [ ! -s .orchestrator/id ]; then exit 0; fi
ORCHESTRATOR_EXECUTION_ID=$$(cat .orchestrator/id)
export ORCHESTRATOR_EXECUTION_ID PATH="$$PWD/.orchestrator/bin:$$PATH"
orchestrator new --id "$$ORCHESTRATOR_EXECUTION_ID"$suite$labels || true
orchestrator upload $artifacts --if-no-files-found warn || true
orchestrator finish --result "$$RESULT"
""")


def begin(job: CiJob) -> str:
    """Return the step that installs the tool and makes an id. It may fail."""
    return _BEGIN.substitute(package=_quoted(one_line(job.package)))


def test(job: CiJob) -> str:
    """Return the step that runs the tests; it ends with their exit code."""
    return _TEST.substitute(
        artifacts=_quoted(one_line(job.artifacts)), command=" ".join(map(_quoted, job.command))
    )


def store(job: CiJob, labels: dict[str, str]) -> str:
    """Return the step that stores what there is, with RESULT in its environment. It may fail.

    The values of `labels` are text in double quotes: variables of the CI system.
    """
    suite = f" --suite {_quoted(one_line(job.suite))}" if job.suite else ""
    given = "".join(f' \\\n  --label {name}="{value}"' for name, value in labels.items())
    return _STORE.substitute(artifacts=_quoted(one_line(job.artifacts)), suite=suite, labels=given)


def _quoted(text: str) -> str:
    return shlex.quote(any_text(text))
