"""`python -m orchestrator_cli.docgen.picture COMMAND…`: run a command in a terminal and draw it.

The SVG goes to standard output.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from io import StringIO

from rich.console import Console
from rich.text import Text

COLUMNS = 80


def record(command: list[str]) -> str:
    """Run a command in a terminal of 80 columns and return what it showed, escapes included."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while data := _read(ours):
        shown += data
    os.close(ours)
    if process.wait() != 0:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return shown.decode(errors="replace").replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        # Linux says so where the last process that had the terminal has closed it.
        return b""


def draw(shown: str, title: str) -> str:
    """Return a picture of a terminal that shows a text."""
    lines = []
    for line in shown.split("\n"):
        # What a progress bar has drawn over is not seen.
        last = line.rsplit("\r", 1)[-1]
        lines.append(last.rsplit("\x1b[2K", 1)[-1])
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(lines)))
    return console.export_svg(title=title, unique_id="tour")


if __name__ == "__main__":
    sys.stdout.write(draw(record(sys.argv[1:]), "orchestrator"))
