"""`python -m orchestrator_cli.docgen.picture COMMAND…`: draw the terminal output of a command.

The command runs in a pseudo-terminal. The picture is written to standard output as SVG.
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
    """Return what a command writes to a terminal of 80 columns, with its escape sequences."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    output = b""
    while data := _read(master):
        output += data
    os.close(master)
    if process.wait() != 0:
        raise SystemExit(f"{command[0]} exited with {process.returncode}")
    return output.decode(errors="replace").replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        # On Linux, reading fails once the last process has closed the terminal.
        return b""


def draw(output: str, title: str) -> str:
    """Return a picture of a terminal that shows the output, as SVG."""
    lines = []
    for line in output.split("\n"):
        # Leave out what a progress bar has overwritten.
        last = line.rsplit("\r", 1)[-1]
        lines.append(last.rsplit("\x1b[2K", 1)[-1])
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(lines)))
    return console.export_svg(title=title, unique_id="tour")


if __name__ == "__main__":
    sys.stdout.write(draw(record(sys.argv[1:]), "orchestrator"))
