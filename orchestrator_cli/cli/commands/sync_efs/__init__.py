"""`orchestrator sync-efs`: store what benches left on EFS, then remove what is stored.

It must not know how trees are read, stored or removed.
"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.sync_efs.options import SyncOptions
from orchestrator_cli.cli.commands.sync_efs.passes import sync_once, sync_until_stopped
from orchestrator_cli.cli.commands.sync_efs.plan import print_plan
from orchestrator_cli.cli.options import (
    DEFAULT_ROOT,
    DURATION,
    RESUMES,
    Example,
    command,
    complete_execution_id,
    concurrency_option,
    gather_options,
    json_option,
    limit_rate_option,
)
from orchestrator_cli.cli.options.metrics_options import metrics_options


@command(
    examples=(
        Example("once, for all benches below /mnt/bench-logs", "orchestrator sync-efs"),
        Example("one bench, for months", "orchestrator sync-efs --bench bench-07 --watch"),
        Example("show what would happen", "orchestrator sync-efs --root /srv/bench-logs --dry-run"),
        Example("store everything, remove nothing", "orchestrator sync-efs --keep"),
        Example(
            "write metrics to a file for the node exporter",
            "orchestrator sync-efs --metrics-file /var/lib/node_exporter/orchestrator.prom",
        ),
    ),
    exit_codes=(0, 2, 3, 4, 5, 6, 9, 130),
    exit_meanings={
        **RESUMES,
        0: "done, including “identical, already stored”",
        4: "no such directory, execution or bucket",
    },
)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=DEFAULT_ROOT,
    show_default=True,
    help="Where the EFS is mounted.",
)
@click.option("--bench", metavar="BENCH_ID", help="This bench only.")
@click.option(
    "--execution",
    metavar="ULID",
    help="This execution only.",
    shell_complete=complete_execution_id,
)
@click.option(
    "--settle",
    type=DURATION,
    default="60s",
    show_default=True,
    help="Leave files alone that changed less than this long ago.",
)
@click.option(
    "--log-settle",
    type=DURATION,
    default="1h",
    show_default=True,
    help="The same for the logs of an execution that is not finished.",
)
@click.option(
    "--retain",
    type=DURATION,
    default="7d",
    show_default=True,
    help="Delete stored files this long after they were last written or put there.",
)
@click.option("--keep", is_flag=True, help="Delete nothing.")
@click.option("--watch", is_flag=True, help="Go on until SIGTERM, one pass after another.")
@click.option(
    "--interval",
    type=DURATION,
    default="60s",
    show_default=True,
    help="How long to wait from the end of a pass to the next one.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what would happen, as far as that is known without S3; change nothing.",
)
@concurrency_option
@limit_rate_option
@json_option
@metrics_options
@gather_options(SyncOptions)
@pass_app
def sync_efs(app: App, options: SyncOptions) -> None:
    """Store the files that benches left on EFS, then remove those that are stored.

    Stores every file below ROOT/BENCH_ID/EXECUTION_ID/raw/ where `upload` would store it, and makes
    the execution if there is none. ROOT/BENCH_ID/EXECUTION_ID/temp/ is never stored, and is deleted
    with its execution. Links, special files and directories that are not executions are reported
    and never touched. Root, who may read every file, does not store one that has a second name (a
    hard link) unless its directory belongs to its owner and nobody else may write there.

    Files that changed within --settle are left for the next time. runner.log, bench.log, stdout.log
    and stderr.log may pause for longer while their test runs, and what is stored cannot grow: they
    are stored once the execution is finished, or once they have not changed within --log-settle.

    A local file is deleted only if it has been there unchanged for --retain, S3 holds exactly its
    bytes by a checksum computed right then, and it has not changed since. A file that fails is
    tried again with growing waits; then it stays, the execution is marked artifact_error, and the
    next sync that stores it clears the mark. Any number of syncs may run at once.

    --watch keeps trying while the mount or S3 is away. On SIGTERM it finishes the files that it has
    begun, and ends.
    """
    options.check()
    app.resumes = True
    if options.dry_run:
        print_plan(app, options)
    elif options.watch:
        sync_until_stopped(app, options)
    else:
        sync_once(app, options)
