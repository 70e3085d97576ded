"""Recover from live segments what a spool has lost, as after a power cut."""

from __future__ import annotations

import contextlib

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.live.recovery import missing_tail
from orchestrator_cli.core.live.state import read_state
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.runner.spool_log import SpooledRun
from orchestrator_cli.runner.upload.spooled_source import SpooledSource


def recover_spool(run: SpooledRun, store: ArtifactStore) -> None:
    """Append to each spooled log the bytes that only its live segments hold.

    Where that is not allowed, or they hold other bytes, a line in runner.log says so. Raises what
    may pass, and OSError: a final log that lacks bytes could not be mended.
    """
    if run.start.live is None or run.spool.directory is None:
        return
    try:
        if store.run(read_state(run.start.execution_id)) is not None:
            for name in run.log_names:
                _recover(run, store, name)
    except OrchestratorError as error:
        if error.retryable or error.is_fatal:
            raise
        run.log.write(f"nothing is taken back from live segments: {error.message}")


def _recover(run: SpooledRun, store: ArtifactStore, name: str) -> None:
    with contextlib.ExitStack() as opened:
        source = opened.enter_context(contextlib.closing(SpooledSource(run, name)))
        log = None
        for data in missing_tail(store, run.start.execution_id, name, source):
            if log is None:
                log = opened.enter_context(contextlib.closing(run.open_log(name)))
            log.append(data)
        if log is not None:
            log.settle()
            run.log.write(f"{name}: {log.size_bytes:,} bytes are taken back from live segments")
