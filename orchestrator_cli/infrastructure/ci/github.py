"""A workflow of GitHub Actions."""

from __future__ import annotations

from typing import Any

from orchestrator_cli.infrastructure.ci.steps import CiJob, begin, store, test
from orchestrator_cli.infrastructure.target import BucketTarget
from orchestrator_cli.infrastructure.yaml import render_yaml

_HEAD = "# .github/workflows/tests.yml\n"
# A job that was cancelled or did not reach its tests is an error, neither pass nor fail.
_RESULT = (
    "${{ steps.test.outcome == 'success' && 'pass'"
    " || steps.test.outcome == 'failure' && 'fail' || 'error' }}"
)
_LABELS = {
    "commit": "$GITHUB_SHA",
    "url": "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID",
}
_MAY_FAIL = {"continue-on-error": True}


def render_github(target: BucketTarget, job: CiJob) -> str:
    """Return a workflow that stores the output even if it is cancelled; storing may fail."""
    steps: list[dict[str, Any]] = [
        {"uses": "actions/checkout@v4"},
        *_credentials(target, job),
        {"name": "Begin", **_MAY_FAIL, "run": begin(job)},
        {"name": "Test", "id": "test", "run": test(job)},
        {
            "name": "Store",
            "if": "always()",
            **_MAY_FAIL,
            "timeout-minutes": 30,
            "env": {"RESULT": _RESULT},
            "run": store(job, _LABELS),
        },
    ]
    permissions = {"contents": "read"} | ({"id-token": "write"} if job.role_arn else {})
    environment = {"ORCHESTRATOR_BUCKET": target.bucket, "AWS_REGION": target.region}
    tests = {"runs-on": "ubuntu-latest", "env": environment, "steps": steps}
    workflow = {
        "name": "tests",
        "on": ["push", "pull_request"],
        "permissions": permissions,
        "jobs": {"tests": tests},
    }
    return _HEAD + render_yaml(workflow)


def _credentials(target: BucketTarget, job: CiJob) -> list[dict[str, Any]]:
    if job.role_arn is None:
        return []
    inputs = {"role-to-assume": job.role_arn, "aws-region": target.region}
    return [{"uses": "aws-actions/configure-aws-credentials@v4", **_MAY_FAIL, "with": inputs}]
