"""`orchestrator adapter check`: what a bench adapter has written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import CommandGroup, Example, command, json_option

if TYPE_CHECKING:
    from orchestrator_cli.core.efs.contract.check import Remark

_CODES = {
    3: "what was written is not as the contract has it; each finding is listed",
    4: "DIR is not there or cannot be read",
}


@click.group(
    cls=CommandGroup,
    examples=(Example("one execution", "orchestrator adapter check /mnt/bench-logs/bench-07/$ID"),),
    exit_codes=(0, 2, 3, 4),
    exit_meanings=_CODES,
)
def adapter() -> None:
    """Check programs that write a bench's output.

    orchestrator-bench-adapter(7) says what such a program writes.
    """


@command(
    examples=(
        Example("one execution", "orchestrator adapter check /mnt/bench-logs/bench-07/$ID"),
        Example("for a script", "orchestrator adapter check --json /mnt/bench-logs/bench-07/$ID"),
    ),
    exit_codes=(0, 2, 3, 4),
    exit_meanings=_CODES,
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@json_option
@pass_app
def check(app: App, directory: Path, as_json: bool) -> None:
    """Check what an adapter has written of an execution.

    DIR is ROOT/BENCH_ID/EXECUTION_ID. Says which files sync-efs would not store, and where
    execution.json is not valid, promises what raw/ lacks, or names another execution. Nothing is
    changed and no request is sent.
    """
    from orchestrator_cli.core.base.errors import PartialFailureError
    from orchestrator_cli.core.efs.contract.check import check_execution
    from orchestrator_cli.core.efs.tree import BenchExecution, list_bench_executions
    from orchestrator_cli.core.executions.ids import parse_execution_id

    # It may be given as a dot.
    place = directory.absolute()
    execution_id = parse_execution_id(place.name)
    executions = list_bench_executions(place.parents[1], place.parent.name, execution_id)
    remarks = [
        remark
        for execution in executions
        if isinstance(execution, BenchExecution)
        for remark in check_execution(execution)
    ]
    _print_remarks(app, remarks, as_json)
    wrong = sum(not remark.is_note for remark in remarks)
    if wrong:
        what = "finding" if wrong == 1 else "findings"
        raise PartialFailureError(
            f"{wrong:,} {what}", hint="orchestrator-bench-adapter(7) has the contract"
        )


def _print_remarks(app: App, remarks: list[Remark], as_json: bool) -> None:
    for remark in remarks:
        if as_json:
            level = "note" if remark.is_note else "error"
            app.output.record({"path": remark.path, "level": level, "text": remark.text})
        else:
            note = "note: " if remark.is_note else ""
            app.output.line(f"{note}{remark.path}: {remark.text}")


adapter.add_command(check)
