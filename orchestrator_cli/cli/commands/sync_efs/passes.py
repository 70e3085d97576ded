"""One pass of `sync-efs`, or one after the other until SIGTERM."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.sync_efs.options import SyncOptions
from orchestrator_cli.cli.commands.sync_efs.plan import list_sizes
from orchestrator_cli.cli.commands.sync_efs.report import SyncReporter

if TYPE_CHECKING:
    from orchestrator_cli.cli.output import Progress
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.efs.events import SyncEvent, SyncSummary


class Passes:
    """The passes of one command, which share the bucket and the cache of unchanged executions."""

    def __init__(self, app: App, options: SyncOptions, reporter: SyncReporter) -> None:
        from orchestrator_cli.core.efs.unchanged_cache import UnchangedCache

        self._app = app
        self._options = options
        self._reporter = reporter
        self._store = app.store(options.concurrency, options.limit_rate)
        # To remember executions, their trees are walked twice more.
        self._unchanged = UnchangedCache(options.rules()) if options.watch else None

    def run_one(
        self, progress: Progress, stopping: Callable[[], bool] = lambda: False
    ) -> SyncSummary:
        """Make a pass. Raises errors that concern every file; those of single files are counted."""
        from orchestrator_cli.core.efs.events import SyncMonitor, SyncState
        from orchestrator_cli.core.efs.sync import EfsSync, ExecutionSync

        app, options = self._app, self._options
        handled = {SyncState.CREATED, SyncState.IDENTICAL, SyncState.FAILED}

        def on_event(event: SyncEvent) -> None:
            if event.path is not None and event.state in handled:
                progress.add_file(event.size_bytes - event.sent_bytes - event.resumed_bytes)
            self._reporter.event(event)

        monitor = SyncMonitor(on_event, stopping)
        with app.engine(self._store.connection, options.concurrency, progress) as engine:
            executions = ExecutionSync(engine, self._store, options.rules(), app.now, monitor)
            sync = EfsSync(executions, self._unchanged, app.now, monitor)
            sync.run(options.root, options.bench, options.execution_id)
        _set_gauges(app, monitor.summary)
        return monitor.summary


def sync_once(app: App, options: SyncOptions) -> None:
    """Make one pass and print its totals. Raises an error if anything failed in it."""
    reporter = SyncReporter(app, options.as_json)
    passes = Passes(app, options, reporter)
    with app.messages.failures_at_the_end(), app.messages.progress("syncing") as progress:
        progress.expect_later(lambda: list_sizes(options, app.now()))
        summary = passes.run_one(progress)
    reporter.summary(summary)
    error = summary.error()
    if error is not None:
        raise error


def sync_until_stopped(app: App, options: SyncOptions) -> None:
    """Make passes until SIGTERM, whatever goes away meanwhile."""
    import signal

    from orchestrator_cli.cli.output import Progress
    from orchestrator_cli.core.efs.watch import StopRequest, watch

    reporter = SyncReporter(app, options.as_json)
    passes = Passes(app, options, reporter)
    stop = StopRequest()
    # A journal needs no line about what is under way.
    silent = Progress("syncing")

    def on_pass(summary: SyncSummary) -> None:
        reporter.summary(summary)
        app.write_metrics()

    def on_trouble(error: OrchestratorError) -> None:
        reporter.trouble(error)
        app.write_metrics()

    previous = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        watch(
            lambda: passes.run_one(silent, stop.is_set),
            stop,
            options.interval.total_seconds(),
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
