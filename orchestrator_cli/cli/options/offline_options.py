"""The options of commands that work on a bench's tree with no S3 in reach."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator_cli.cli.options import F

DEFAULT_ROOT = Path("/mnt/bench-logs")


def root_option(function: F) -> F:
    """Add --root, where benches leave their files."""
    return click.option(
        "--root",
        metavar="DIR",
        type=click.Path(path_type=Path),
        default=DEFAULT_ROOT,
        show_default=True,
        help="With --offline: where the EFS is mounted.",
    )(function)
