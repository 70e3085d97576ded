"""Directories that only we may write to."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator_cli.core.files.checks import check_private
from orchestrator_cli.core.files.directory import Directory


def private_directory(path: Path) -> Directory:
    """Make a directory for us alone, or open it where it is one already.

    The directories above it are made as well. Raises OSError, also where it is a link, belongs to
    another user, or others may write to it: somebody may have made it for us to fall into.
    """
    os.makedirs(path.parent, exist_ok=True)
    with Directory.open_root(path.parent) as parent:
        directory = parent.make_directory(path.name, 0o700)
    try:
        check_private(directory.status(), str(path))
    except OSError:
        directory.close()
        raise
    return directory
