"""Paths as a tree of directories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator_cli.cli.output.standard_output import Output
from orchestrator_cli.core.base.text import printable

if TYPE_CHECKING:
    from rich.tree import Tree

# Wide enough for any name: a terminal wraps a line by itself, so that it can be copied.
_COLUMNS = 4096


def print_tree(output: Output, paths: Iterable[tuple[str, str]]) -> None:
    """Print paths, in the order of a listing, each with a note after its name."""
    from rich.text import Text
    from rich.tree import Tree

    root = Tree("", hide_root=True)
    directories = {"": root}
    for path, note in paths:
        directory, _, name = path.rpartition("/")
        _directory(directories, directory).add(Text(f"{printable(name)}  {note}"))
    for line in output.draw(root, _COLUMNS).splitlines():
        output.line(line.rstrip())


def _directory(directories: dict[str, Tree], path: str) -> Tree:
    from rich.text import Text

    if path not in directories:
        parent, _, name = path.rpartition("/")
        directories[path] = _directory(directories, parent).add(Text(f"{printable(name)}/"))
    return directories[path]
