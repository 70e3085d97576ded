"""`orchestrator sync-efs`: store what benches left on EFS, then remove what is stored.

It must not know how trees are read, stored or removed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.sync_efs.plan import list_sizes, print_plan
from orchestrator_cli.cli.commands.sync_efs.report import Told
from orchestrator_cli.cli.options import (
    DURATION,
    RESUMES,
    SIZE,
    Example,
    command,
    complete_execution_id,
    concurrency_option,
    json_option,
)
from orchestrator_cli.cli.options.metrics_options import metrics_options

if TYPE_CHECKING:
    from orchestrator_cli.cli.output import Progress
    from orchestrator_cli.core.efs.rules import SyncEvent, SyncSummary
    from orchestrator_cli.core.efs.unchanged_cache import UnchangedCache


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
    type=click.Path(path_type=Path),
    default=Path("/mnt/bench-logs"),
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
    help="The same for the four logs of an execution that is not finished.",
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
@click.option("--limit-rate", type=SIZE, help="The most bytes a second, such as 512K or 5M.")
@json_option
@metrics_options
@pass_app
def sync_efs(
    app: App,
    root: Path,
    bench: str | None,
    execution: str | None,
    settle: timedelta,
    log_settle: timedelta,
    retain: timedelta,
    keep: bool,
    watch: bool,
    interval: timedelta,
    dry_run: bool,
    concurrency: int,
    limit_rate: int | None,
    as_json: bool,
) -> None:
    """Store what benches left on EFS, then remove what is stored.

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
    from orchestrator_cli.cli.output import Progress
    from orchestrator_cli.core.efs.rules import SyncRules
    from orchestrator_cli.core.efs.unchanged_cache import UnchangedCache
    from orchestrator_cli.core.executions.ids import parse_execution_id

    if watch and dry_run:
        raise click.UsageError("--watch and --dry-run exclude each other.")
    app.resumes = True
    execution_id = parse_execution_id(execution) if execution else None
    rules = SyncRules(settle, None if keep else retain, log_settle)
    if dry_run:
        print_plan(app, rules, root, bench, execution_id, as_json)
        return
    store = app.store(concurrency, limit_rate)
    told = Told(app, as_json)

    def one_pass(
        unchanged: UnchangedCache, stopping: Callable[[], bool], progress: Progress
    ) -> SyncSummary:
        from orchestrator_cli.core.efs.sync import EfsSync

        def on_event(event: SyncEvent) -> None:
            if event.path is not None and event.state in {"created", "identical", "failed"}:
                progress.add_file(event.size_bytes - event.sent_bytes)
            told.event(event)

        with app.transfers(store, concurrency, progress.add_bytes) as transfers:
            sync = EfsSync(transfers, store, rules, app.now, on_event, stopping, unchanged)
            sync.run(root, bench, execution_id)
        _set_gauges(app, sync.summary)
        return sync.summary

    if watch:
        # A journal needs no line about what is under way.
        nothing = Progress("syncing")
        _watch(app, told, partial(one_pass, progress=nothing), UnchangedCache(rules), interval)
        return
    with app.output.failures_at_the_end(), app.output.progress("syncing") as progress:
        progress.expect_later(lambda: list_sizes(rules, root, bench, execution_id, app.now()))
        summary = one_pass(UnchangedCache(rules), lambda: False, progress)
    told.summary(summary)
    error = summary.error()
    if error is not None:
        raise error


def _watch(
    app: App,
    told: Told,
    one_pass: Callable[[UnchangedCache, Callable[[], bool]], SyncSummary],
    unchanged: UnchangedCache,
    interval: timedelta,
) -> None:
    import signal

    from orchestrator_cli.core.efs.watch import StopRequest, watch

    def on_pass(summary: SyncSummary) -> None:
        told.summary(summary)
        app.write_metrics()

    def on_trouble(error: Any) -> None:
        told.trouble(error)
        app.write_metrics()

    stop = StopRequest()
    previous = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        watch(
            lambda: one_pass(unchanged, stop.is_set),
            stop,
            interval.total_seconds(),
            on_pass,
            on_trouble,
        )
    finally:
        signal.signal(signal.SIGTERM, previous)


def _set_gauges(app: App, summary: SyncSummary) -> None:
    if app.meter is not None:
        from orchestrator_cli.core.metrics.registry import BACKLOG_FILES, LAST_PASS

        app.meter.set_gauge(BACKLOG_FILES, summary.unfinished)
        app.meter.set_gauge(LAST_PASS, app.now().timestamp())
