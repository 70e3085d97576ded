"""`orchestrator deploy ec2`: user data."""

from __future__ import annotations

from datetime import timedelta

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.deploy.target import bucket_target
from orchestrator_cli.cli.options import DURATION, Example, command


@command(
    examples=(
        Example(
            "a suite on a fresh instance",
            "orchestrator deploy ec2 --package https://wheels.example/orchestrator_cli.whl "
            "--suite smoke -- pytest --junitxml results/junit.xml",
        ),
        Example(
            "tests from git, and an instance that ends by itself",
            "orchestrator deploy ec2 --package WHEEL --source https://git.example/t.git#main "
            "--setup 'pip install -r requirements.txt' --terminate -- pytest",
        ),
    ),
    exit_codes=(0, 2),
)
@click.option(
    "--package",
    metavar="WHEEL",
    required=True,
    help="The wheel that pip installs: a URL or a path.",
)
@click.option("--suite", metavar="S", help="The test suite.")
@click.option(
    "--source",
    metavar="URL",
    help="Where the tests are: an s3:// object, unpacked where it is an archive, or a git URL, "
    "which may end in #REF.",
)
@click.option("--setup", metavar="COMMAND", help="A shell command to run before CMD.")
@click.option(
    "--artifacts",
    metavar="DIR",
    default="results",
    show_default=True,
    help="The directory that is stored at the end.",
)
@click.option(
    "--terminate",
    is_flag=True,
    help="Shut the instance down once everything is stored, or nothing can be.",
)
@click.option(
    "--hold",
    type=DURATION,
    default="1d",
    show_default=True,
    help="With --terminate: the most time that the instance waits for S3 after the tests.",
)
@click.argument("cmd", metavar="CMD…", nargs=-1, required=True)
@pass_app
def ec2(
    app: App,
    package: str,
    suite: str | None,
    source: str | None,
    setup: str | None,
    artifacts: str,
    terminate: bool,
    hold: timedelta,
    cmd: tuple[str, ...],
) -> None:
    """Print user data that runs a suite on an instance.

    For Amazon Linux 2023 and Ubuntu 22.04 or newer. CMD runs where --source was unpacked. Where S3
    refuses the instance's role, no test is run; where it is away, what the tests leave is kept, and
    a unit stores it. --terminate needs an instance whose shutdown behaviour is to terminate.
    """
    from orchestrator_cli.infrastructure.runners.ec2 import InstanceSpec, render_ec2

    spec = InstanceSpec(
        package, suite, artifacts, cmd, source, setup, terminate, int(hold.total_seconds())
    )
    app.output.line(render_ec2(bucket_target(app), spec), end="")
