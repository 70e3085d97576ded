"""What people type by habit from other programs, and what it is here."""

from __future__ import annotations

# By how gh, aws s3, kubectl, restic and shells call it.
COMMAND_HABITS = {
    "auth": "doctor",
    "backup": "upload",
    "browse": "open",
    "cat": "logs",
    "check": "verify",
    "cp": "upload",
    "delete": "lifecycle",
    "describe": "show",
    "diff": "verify",
    "exec": "run",
    "find": "grep",
    "get": "download",
    "info": "show",
    "list": "ls",
    "presign": "url",
    "push": "upload",
    "remove": "lifecycle",
    "rm": "lifecycle",
    "runs": "ls",
    "search": "grep",
    "snapshots": "ls",
    "stats": "cost",
    "status": "show",
    "sync": "upload",
    "tail": "logs",
    "version": "--version",
    "view": "show",
    "watch": "logs",
    "whoami": "doctor",
}
# The first of these that the command has is meant.
OPTION_HABITS = {
    "--conclusion": ("--result",),
    "--dest": ("--output",),
    "--dir": ("--output", "--root"),
    "--format": ("--json",),
    "--jq": ("--json",),
    "--max-items": ("--limit",),
    "--no-progress": ("--quiet",),
    "--only-show-errors": ("--quiet",),
    "--out": ("--output",),
    "--output": ("--json",),
    "--status": ("--result",),
    "--target": ("--output",),
    "-D": ("--output",),
    "-L": ("--limit",),
    "-o": ("--json",),
    "-w": ("--suite",),
}


def option_for(typed: str, known: set[str]) -> str | None:
    """Return what a command has of what was meant by an option of another program."""
    return next((name for name in OPTION_HABITS.get(typed, ()) if name in known), None)
