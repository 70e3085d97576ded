"""`orchestrator deploy systemd`: the units of a bench."""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.deploy.target import bucket_target
from orchestrator_cli.cli.options import Example, command


@command(
    examples=(
        Example(
            "a unit that watches",
            "orchestrator deploy systemd --bench bench-07 > orchestrator-sync.service",
        ),
        Example("a service and a timer", "orchestrator deploy systemd --timer 5m"),
    ),
    exit_codes=(0, 2),
)
@click.option(
    "--root",
    default="/mnt/bench-logs",
    show_default=True,
    help="Where the EFS is mounted.",
)
@click.option("--bench", metavar="BENCH_ID", help="This bench only.")
@click.option("--user", default="orchestrator", show_default=True, help="The user that runs it.")
@click.option(
    "--program",
    default="/opt/orchestrator/bin/orchestrator",
    show_default=True,
    help="Where the command is installed.",
)
@click.option(
    "--timer",
    metavar="SPAN",
    help="Print a service and a timer that starts it this often, such as 5m, in place of --watch.",
)
@pass_app
def systemd(
    app: App, root: str, bench: str | None, user: str, program: str, timer: str | None
) -> None:
    """Print the units that sync a bench."""
    from orchestrator_cli.infrastructure.runners.systemd import render_systemd

    text = render_systemd(bucket_target(app), root, bench, user, program, timer)
    app.output.line(text, end="")
