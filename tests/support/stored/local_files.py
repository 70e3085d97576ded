"""Local files as the tests name them."""

from __future__ import annotations

from pathlib import Path

from orchestrator_cli.core.files.tree import NamedFile
from orchestrator_cli.core.transfer.upload.local_file import LocalFile


def local_file(path: Path) -> LocalFile:
    """Open a file that is to be stored."""
    return LocalFile(NamedFile(path), path)
