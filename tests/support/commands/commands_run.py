"""What the tests of `run` ask again and again."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from tests.support.commands.running import Result


def run_id(result: Result | bytes) -> str:
    """Return the id that `run` said it made."""
    text = result.stderr if isinstance(result, Result) else result
    found = re.search(rb"execution ([0-9A-Z]{26})", text)
    assert found is not None, text
    return found[1].decode()


def results(files: dict[str, bytes]) -> Any:
    return json.loads(files["artifacts/results.json"])


def printed_command(stderr: bytes) -> list[str]:
    """Return the arguments of the command that is printed for what is left."""
    line = next(line for line in stderr.decode().splitlines() if " run --resume " in line)
    return shlex.split(line)[1:]


def spools() -> list[Path]:
    """Return the spool directories below the default place."""
    root = Path.home() / ".local/state/orchestrator/runs"
    return sorted(root.iterdir()) if root.exists() else []
