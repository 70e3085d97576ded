"""`orchestrator deploy github`, `gitlab` and `jenkins`: the steps of a CI job."""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.deploy.target import bucket_target
from orchestrator_cli.cli.options import Example, F, add_options, command

_OPTIONS = (
    click.option(
        "--package",
        metavar="WHEEL",
        required=True,
        help="The wheel that pip installs: a URL or a path.",
    ),
    click.option("--suite", metavar="S", help="The test suite."),
    click.option(
        "--artifacts",
        metavar="DIR",
        default="results",
        show_default=True,
        help="The directory of the workspace that is stored at the end.",
    ),
    click.argument("cmd", metavar="CMD…", nargs=-1, required=True),
)
_ROLE = click.option(
    "--role-arn",
    metavar="ARN",
    help="An IAM role that trusts the job's token. Without it, the job has other credentials.",
)


def _job_options(function: F) -> F:
    return add_options(function, _OPTIONS)


def _example(system: str, file: str) -> tuple[Example, ...]:
    line = f"orchestrator deploy {system} --package WHEEL --suite smoke -- make test > {file}"
    return (Example("a job that runs make test", line),)


@command(examples=_example("github", ".github/workflows/tests.yml"), exit_codes=(0, 2))
@_job_options
@_ROLE
@pass_app
def github(app: App, /, role_arn: str | None, cmd: tuple[str, ...], **job: Any) -> None:
    """Print a workflow of GitHub Actions.

    It runs CMD and stores what it prints and leaves in --artifacts. The steps that store may fail:
    the tests run, and their job ends as they do, whatever S3 does. A job that was cancelled is
    stored too, as an error.
    """
    from orchestrator_cli.infrastructure.ci.github import render_github
    from orchestrator_cli.infrastructure.ci.steps import CiJob

    text = render_github(bucket_target(app), CiJob(command=cmd, role_arn=role_arn, **job))
    app.output.line(text, end="")


@command(examples=_example("gitlab", ".gitlab-ci.yml"), exit_codes=(0, 2))
@_job_options
@_ROLE
@pass_app
def gitlab(app: App, /, role_arn: str | None, cmd: tuple[str, ...], **job: Any) -> None:
    """Print a job of GitLab CI.

    It runs CMD and stores what it prints and leaves in --artifacts. Storing cannot fail the job: it
    ends as the tests do, whatever S3 does. A job that was cancelled is stored too, as an error.
    """
    from orchestrator_cli.infrastructure.ci.gitlab import render_gitlab
    from orchestrator_cli.infrastructure.ci.steps import CiJob

    text = render_gitlab(bucket_target(app), CiJob(command=cmd, role_arn=role_arn, **job))
    app.output.line(text, end="")


@command(examples=_example("jenkins", "Jenkinsfile"), exit_codes=(0, 2))
@_job_options
@pass_app
def jenkins(app: App, /, cmd: tuple[str, ...], **job: Any) -> None:
    """Print a Jenkinsfile.

    It runs CMD and stores what it prints and leaves in --artifacts, with the credentials of the
    agent. Storing cannot fail the build: it ends as the tests do, whatever S3 does. A build that
    was aborted is stored too, as an error.
    """
    from orchestrator_cli.infrastructure.ci.jenkins import render_jenkins
    from orchestrator_cli.infrastructure.ci.steps import CiJob

    app.output.line(render_jenkins(bucket_target(app), CiJob(command=cmd, **job)), end="")
