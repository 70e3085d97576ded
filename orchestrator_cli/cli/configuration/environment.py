"""The environment variables that are no options; a new one is added here."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

EXECUTION_ID_VARIABLE = "ORCHESTRATOR_EXECUTION_ID"
VIA_VARIABLE = "ORCHESTRATOR_VIA"
VIA_TOKEN_VARIABLE = "ORCHESTRATOR_VIA_TOKEN"
# The commands that work through a server, in words.
VIA_COMMANDS = "upload, logs, download, ls, show and url"
# Set by a shell that asks for completions.
COMPLETE_VARIABLE = "_ORCHESTRATOR_COMPLETE"
DEFAULT_SPOOL = "orchestrator/runs"


def debug_from_environment() -> bool:
    """Return True if ORCHESTRATOR_DEBUG is on, for errors that come before the options are read."""
    text = os.environ.get("ORCHESTRATOR_DEBUG", "")
    return bool(text) and click.BOOL.str_to_bool(text) is not False


def has_browser() -> bool:
    """Return True if a page can be opened where somebody sees it."""
    names = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(map(os.environ.get, names))


def variable(name: str) -> str | None:
    """Return a variable of the environment; an empty one is none."""
    return os.environ.get(name) or None


def global_setting(name: str) -> str | None:
    """Return a global setting of the environment, for completion, where no option is read."""
    return os.environ.get(f"ORCHESTRATOR_{name.upper()}")


def is_completing() -> bool:
    """Return True if a shell asks for completions, instead of running a command."""
    return COMPLETE_VARIABLE in os.environ


def completion_path(shell: str) -> Path:
    """Return where a shell looks for this user's completion scripts."""
    from pathlib import Path

    data = Path(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"))
    if shell == "bash":
        named = os.environ.get("BASH_COMPLETION_USER_DIR")
        root = Path(named) if named else data / "bash-completion"
        return root / "completions" / "orchestrator"
    if shell == "fish":
        return Path(config_home()) / "fish" / "completions" / "orchestrator.fish"
    return data / "zsh" / "site-functions" / "_orchestrator"


def config_home() -> str:
    """Return where programs have their config files; "~" stays where there is no home at all."""
    return os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")


def aws_variable(names: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the first of these variables that is set, and its value."""
    return next(((name, os.environ[name]) for name in names if os.environ.get(name)), None)


def own_variables() -> dict[str, str]:
    """Return the variables of this program that are set."""
    return {name: text for name, text in os.environ.items() if name.startswith("ORCHESTRATOR_")}


def terminal_columns() -> int:
    """Return how many characters a line of the terminal has room for; 80 where there is none."""
    # Not shutil's own, which brings every compressor along.
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named):
        return int(named)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def pager_command() -> list[str]:
    """Return the pager as PAGER names it; less by default; empty for none."""
    import shlex

    try:
        return shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:
        # A quotation that does not end names no program.
        return []


def pager_environment() -> dict[str, str]:
    """Return the environment for the pager."""
    # -F: a log of one screen needs no pager; -R: colours; -X: it stays on the screen.
    return {"LESS": "FRX", **os.environ}


def spool_roots(named: Path | None) -> list[Path]:
    """Return where a run may be spooled: where it was named, or the best places."""
    import tempfile
    from pathlib import Path

    if named is not None:
        return [named]
    roots = [state_home() / DEFAULT_SPOOL]
    # There may be no directory for temporary files either.
    with contextlib.suppress(FileNotFoundError):
        roots.append(Path(tempfile.gettempdir(), f"orchestrator-{os.getuid()}"))
    return [root for root in roots if root.is_absolute()]


def state_home() -> Path:
    """Return the directory where programs keep state that must last."""
    from pathlib import Path

    return Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"))
