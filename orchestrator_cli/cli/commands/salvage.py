"""`orchestrator salvage`: final logs from the segments of a writer that is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import (
    DURATION,
    Example,
    check_may_write,
    command,
    execution_id_argument,
    json_option,
    write_to_latest_option,
)

if TYPE_CHECKING:
    from orchestrator_cli.core.live.reading.salvage import Salvaged, SalvagedLog

_PARTS_AT_ONCE = 8


@command(
    examples=(
        Example("keep what an evicted pod has left", "orchestrator salvage $ID"),
        Example(
            "once it is certain that the bench will not come back",
            "orchestrator salvage $ID --older-than 5m",
        ),
    ),
    exit_codes=(0, 2, 3, 4, 5, 6, 7, 9, 130),
    exit_meanings={
        3: "a log could not be stored; the others are",
        4: "no such execution, or no live log of it",
        6: "nothing to salvage, the writer may still be there, or a log is stored otherwise",
    },
)
@execution_id_argument
@click.option(
    "--older-than",
    type=DURATION,
    default="1h",
    show_default=True,
    help="How long there must have been no sign of life from the writer.",
)
@write_to_latest_option
@json_option
@pass_app
def salvage(app: App, execution_id: str, older_than: timedelta, yes: bool, as_json: bool) -> None:
    """Keep the logs of an execution whose writer is lost.

    Stores each live log as far as it was written, and finishes the execution with the result error;
    its failures say at which byte a log ends. It is refused as long as the writer may come back:
    `orchestrator run --resume` on its host stores all of the log. Once salvaged, a log is never
    replaced: what its host has beyond that stays there, and --resume says where. S3's clock tells
    how long the writer has been silent. Repeating the command is safe.
    """
    from orchestrator_cli.core.live.reading import salvage as live_salvage

    check_may_write(execution_id, yes)
    store = app.store(_PARTS_AT_ONCE)
    resolved = app.resolve_id(execution_id, store)
    with app.engine(store.connection, _PARTS_AT_ONCE) as engine:
        done = live_salvage.salvage(store, engine, resolved, older_than, app.now())
    if as_json:
        app.output.json(_record(resolved, done))
    else:
        for log in done.logs:
            app.output.line(_line(log))
        app.messages.note(f"finished {resolved}: {done.metadata.result}")
        app.pages.note(resolved)
    _raise_failures(done.logs)


def _line(log: SalvagedLog) -> str:
    from orchestrator_cli.core.base.text import printable

    end = "whole" if log.is_whole else "it ends there"
    return printable(f"{log.path}: {log.outcome or 'failed'}, {log.size_bytes:,} bytes; {end}")


def _record(execution_id: str, done: Salvaged) -> dict[str, Any]:
    return {
        "execution_id": execution_id,
        "result": done.metadata.result,
        "logs": [
            {
                "path": log.path,
                "size_bytes": log.size_bytes,
                "whole": log.is_whole,
                "outcome": log.outcome,
                "error": log.error.message if log.error else None,
            }
            for log in done.logs
        ],
    }


def _raise_failures(logs: list[SalvagedLog]) -> None:
    from orchestrator_cli.core.base.errors import PartialFailureError

    failed = [log.error for log in logs if log.error is not None]
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise PartialFailureError("; ".join(error.message for error in failed))
