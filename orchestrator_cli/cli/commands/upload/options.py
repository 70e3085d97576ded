"""The options of `upload`."""

from __future__ import annotations

from typing import NamedTuple

import click

from orchestrator_cli.cli.commands.upload.paths import check_paths
from orchestrator_cli.cli.options.via_options import Via


class UploadOptions(NamedTuple):
    """The options of the command line, by their names."""

    arguments: tuple[str, ...]
    name: str | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    include_hidden: bool
    concurrency: int
    limit_rate: int | None
    via: Via | None
    live: bool
    dry_run: bool
    if_no_files_found: str
    yes: bool
    as_json: bool

    def check(self, paths: tuple[str, ...]) -> None:
        """Raise UsageError for paths and options that do not go together."""
        check_paths(paths, self.name)
        if self.live and paths != ("-",):
            raise click.UsageError("--live goes with standard input (-).")
