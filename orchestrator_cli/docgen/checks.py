"""Checks: commands that are not fully documented, and generated files that are out of date."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from orchestrator_cli.docgen.command_tree import CommandReference

DIFF_LINES = 12


def list_undocumented(commands: Iterable[CommandReference], meanings: Container[int]) -> list[str]:
    """Return a line for each help text, example and exit code that is missing."""
    return [problem for command in commands for problem in _problems(command, meanings)]


def list_drift(wanted: Mapping[Path, str], root: Path, present: Iterable[Path] = ()) -> list[str]:
    """Return a short diff for each file that is missing, out of date, or not generated any more.

    `present` are the generated files on disk.
    """
    drift = [_difference(path, text, root) for path, text in sorted(wanted.items())]
    stale = [
        f"{path}: belongs to no command any more" for path in sorted(present) if path not in wanted
    ]
    return [entry for entry in drift if entry] + stale


def _problems(command: CommandReference, meanings: Container[int]) -> list[str]:
    name = command.invocation
    problems = []
    if not command.description:
        problems.append(f"{name}: no help")
    if command.name and not command.examples:
        problems.append(f"{name}: no examples")
    if command.name and not command.exit_codes:
        problems.append(f"{name}: no exit codes")
    problems += [
        f"{name}: exit code {code} has no meaning"
        for code in command.exit_codes
        if code not in meanings
    ]
    problems += [f"{name} {o.label}: no help" for o in command.options if not o.help]
    return problems


def _difference(path: Path, text: str, root: Path) -> str | None:
    file = root / path
    if not file.exists():
        return f"{path}: missing"
    found = file.read_text(encoding="utf-8")
    if found == text:
        return None
    diff = list(
        difflib.unified_diff(
            found.splitlines(),
            text.splitlines(),
            f"{path} (found)",
            f"{path} (generated)",
            lineterm="",
            n=1,
        )
    )
    more = [f"… {len(diff) - DIFF_LINES} more lines"] if len(diff) > DIFF_LINES else []
    return "\n".join([f"{path}: not up to date", *diff[:DIFF_LINES], *more])
