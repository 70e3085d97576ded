"""`orchestrator deploy ec2`: user data."""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.deploy.target import bucket_target
from orchestrator_cli.cli.options import Example, command


@command(
    examples=(
        Example(
            "a suite on a fresh instance",
            "orchestrator deploy ec2 --package https://wheels.example/orchestrator_cli.whl "
            "--suite smoke -- pytest --junitxml results/junit.xml",
        ),
    ),
    exit_codes=(0, 2),
)
@click.option("--package", required=True, help="The wheel that pip installs: a URL or a path.")
@click.option("--suite", metavar="S", help="The test suite.")
@click.option(
    "--artifacts",
    default="results",
    show_default=True,
    help="The directory that is stored at the end.",
)
@click.argument("cmd", metavar="CMD…", nargs=-1, required=True)
@pass_app
def ec2(app: App, package: str, suite: str | None, artifacts: str, cmd: tuple[str, ...]) -> None:
    """Print user data that runs a suite on an instance."""
    from orchestrator_cli.infrastructure.runners.ec2 import render_ec2

    app.output.line(render_ec2(bucket_target(app), package, suite, artifacts, cmd), end="")
