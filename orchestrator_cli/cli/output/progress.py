"""How far a transfer is: a live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator_cli.cli.output.units import human_size
from orchestrator_cli.core.base.text import printable

PROGRESS_LINE_SECONDS = 5.0


class Progress:
    """Counts files and bytes; shows nothing."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.files = 0
        self.size_bytes = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def add_bytes(self, size_bytes: int) -> None:
        """Count bytes; from any thread."""
        with self._lock:
            self.size_bytes += size_bytes
        self._changed()

    def add_file(self) -> None:
        """Count a file."""
        with self._lock:
            self.files += 1
        self._changed()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def status(self) -> str:
        """Return the progress in a few words."""
        rate = self.size_bytes / max(self.seconds, 0.001)
        count = f"{self.files:,} files, " if self.files != 1 else "1 file, "
        return f"{self.what}: {count}{human_size(self.size_bytes)}, {human_size(rate)}/s"

    def _changed(self) -> None:
        pass


class LineProgress(Progress):
    """A line every few seconds, for logs."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self._next_at = time.monotonic() + PROGRESS_LINE_SECONDS

    def _changed(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = now >= self._next_at
            if due:
                self._next_at = now + PROGRESS_LINE_SECONDS
        if due:
            tell(self.status())


@contextmanager
def live_progress(what: str, colors: bool) -> Iterator[Progress]:
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    progress = Progress(what)
    console = Console(stderr=True, no_color=not colors, markup=False, highlight=False)

    def render() -> Spinner:
        spinner.update(text=progress.status())
        return spinner

    spinner = Spinner("dots")
    with Live(
        console=console,
        get_renderable=render,
        transient=True,
        refresh_per_second=8,
        # Data that goes elsewhere than to the terminal must not be drawn above the live line.
        redirect_stdout=sys.stdout.isatty(),
    ):
        yield progress


def tell(text: str) -> None:
    """Write a line to standard error."""
    # Whatever a name holds; and nobody reading is no reason to stop.
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr, flush=True)
