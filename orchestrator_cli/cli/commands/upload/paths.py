"""The paths that `upload` is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestrator_cli.core.transfer.upload.plan import PlanItem


def check_paths(paths: tuple[str, ...], name: str | None) -> None:
    """Raise UsageError for paths that do not go together."""
    if not paths:
        raise click.UsageError("Missing argument 'PATH…'.")
    if "" in paths:
        # An unset variable in a script, which would mean the whole current directory.
        raise click.UsageError("An empty PATH; name . to store the current directory.")
    if "-" in paths and len(paths) > 1:
        raise click.UsageError("Standard input (-) cannot be mixed with files.")
    if name == "":
        raise click.UsageError("An empty --name.")
    if paths == ("-",):
        if not name:
            raise click.UsageError(
                "Standard input (-) needs --name, such as --name logs/stdout.log."
            )
        return
    if name and (len(paths) > 1 or Path(paths[0]).is_dir()):
        raise click.UsageError("--name goes with one file or standard input.")


def with_missing_paths(plan: Iterable[PlanItem], if_no_files: str) -> Iterator[PlanItem]:
    """Yield the plan, with missing paths treated as --if-no-files-found says."""
    from orchestrator_cli.core.transfer.upload.on_record.recorder import was_never_a_file
    from orchestrator_cli.core.transfer.upload.plan import SkippedPath

    for item in plan:
        if (
            not isinstance(item, SkippedPath)
            or not was_never_a_file(item.error)
            or if_no_files == "error"
        ):
            yield item
        elif if_no_files == "warn":
            yield SkippedPath(item.source, item.reason)
