"""`orchestrator deploy systemd`: the units of a bench."""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.deploy.target import bucket_target
from orchestrator_cli.cli.options import DEFAULT_ROOT, Example, command


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
    metavar="DIR",
    default=DEFAULT_ROOT,
    show_default=True,
    help="Where the EFS is mounted.",
)
@click.option("--bench", metavar="BENCH_ID", help="This bench only.")
@click.option(
    "--user",
    metavar="USER",
    default="orchestrator",
    show_default=True,
    help="The user that runs it.",
)
@click.option(
    "--group", metavar="GROUP", help="The group that may read and delete what benches have written."
)
@click.option(
    "--program",
    metavar="PATH",
    default="/opt/orchestrator/bin/orchestrator",
    show_default=True,
    help="Where the command is installed.",
)
@click.option(
    "--timer",
    metavar="SPAN",
    help="Print a service and a timer that starts it this often, such as 5m, in place of --watch.",
)
@click.option(
    "--part",
    type=click.Choice(["all", "service", "timer"]),
    default="all",
    show_default=True,
    help="What to print; each is a file of its own.",
)
@pass_app
def systemd(
    app: App,
    root: str,
    bench: str | None,
    user: str,
    group: str | None,
    program: str,
    timer: str | None,
    part: str,
) -> None:
    """Print the units that sync a bench.

    A service that watches, or with --timer one that ends and a timer that starts it. They wait for
    the mount of --root, and read credentials from /etc/orchestrator/environment where there are
    any. The first line of each says which file it is.
    """
    from orchestrator_cli.infrastructure.systemd.sync_units import (
        SyncUnit,
        UnitPart,
        render_systemd,
    )

    wanted = UnitPart(part)
    if wanted is UnitPart.TIMER and timer is None:
        raise click.UsageError("--part timer needs --timer.")
    unit = SyncUnit(root, bench, user, group, program, timer)
    app.output.line(render_systemd(bucket_target(app), unit, wanted), end="")
