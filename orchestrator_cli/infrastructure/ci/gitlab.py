"""A job of GitLab CI."""

from __future__ import annotations

from typing import Any

from orchestrator_cli.infrastructure.ci.steps import CiJob, begin, store, test
from orchestrator_cli.infrastructure.target import BucketTarget
from orchestrator_cli.infrastructure.yaml import render_yaml

_HEAD = """\
# .gitlab-ci.yml
# GitLab runs after_script for cancelled jobs since 17.0.
"""
_LABELS = {"commit": "$CI_COMMIT_SHA", "url": "$CI_JOB_URL"}
_RESULT = """\
case "$CI_JOB_STATUS" in
  success) RESULT=pass ;;
  failed) RESULT=fail ;;
  *) RESULT=error ;;
esac
"""
_TOKEN_FILE = ".orchestrator-token"
_TOKEN = f"""\
umask 077
printf '%s' "$ORCHESTRATOR_TOKEN" >{_TOKEN_FILE}
"""


def render_gitlab(target: BucketTarget, job: CiJob) -> str:
    """Return a job that stores the output even if it is cancelled; storing may fail."""
    variables = {
        "ORCHESTRATOR_BUCKET": target.bucket,
        "AWS_REGION": target.region,
        # By default GitLab stops after_script after five minutes.
        "RUNNER_AFTER_SCRIPT_TIMEOUT": "30m",
    }
    tests: dict[str, Any] = {"image": "python:3.13"}
    token = ""
    if job.role_arn is not None:
        tests["id_tokens"] = {"ORCHESTRATOR_TOKEN": {"aud": "https://gitlab.com"}}
        variables["AWS_ROLE_ARN"] = job.role_arn
        variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = _TOKEN_FILE
        token = _TOKEN
    tests |= {
        "variables": variables,
        # In a subshell, so that a failure cannot end the job.
        "before_script": [f"(\n{begin(job)}) || true\n"],
        "script": [test(job)],
        "after_script": [token + _RESULT + store(job, _LABELS)],
    }
    return _HEAD + render_yaml({"tests": tests})
