"""Show a transfer's progress: a live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator_cli.cli.output.units import human_duration, human_size

if TYPE_CHECKING:
    import rich.progress

PROGRESS_LINE_SECONDS = 5.0
# A transfer that takes no longer needs no total.
COUNT_AFTER_SECONDS = 0.5
_LIVE_SECONDS = 0.125
_EARLY_SECONDS = 30.0
_EARLY_FRACTION = 0.05
# How many columns leave room for a bar.
_BAR_COLUMNS = 100


class Progress:
    """Counts files and bytes; shows nothing.

    The totals are None until they are known. Bytes that need not be moved are counted apart: they
    count as done, but not for the rate.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.files = 0
        self.size_bytes = 0
        self.spared_bytes = 0
        self.total_files: int | None = None
        self.total_bytes: int | None = None
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._sizes: Callable[[], Iterable[int]] | None = None
        self._ended = threading.Event()

    def add_bytes(self, size_bytes: int) -> None:
        """Count bytes; from any thread."""
        with self._lock:
            self.size_bytes += size_bytes
        self._changed()

    def add_spared(self, size_bytes: int) -> None:
        """Count bytes that were there already; from any thread."""
        with self._lock:
            self.spared_bytes += size_bytes
        self._changed()

    def add_file(self, spared_bytes: int = 0) -> None:
        """Count a file, and what neither of the others has counted of its bytes."""
        with self._lock:
            self.files += 1
            self.spared_bytes += max(0, spared_bytes)
        self._changed()

    def expect(self, files: int, size_bytes: int | None) -> None:
        """Set the totals."""
        self.total_files, self.total_bytes = files, size_bytes

    def expect_later(self, sizes: Callable[[], Iterable[int]]) -> None:
        """Take what lists the size of each file; a thread adds them up while others work.

        It is not called where no progress is shown, or where all is done before.
        """
        self._sizes = sizes

    def end(self) -> None:
        """Stop finding out how much there is."""
        self._ended.set()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def fraction(self) -> float | None:
        """How much is done, from 0 to 1; None where the total is not known."""
        if self.total_bytes:
            return min(1.0, (self.size_bytes + self.spared_bytes) / self.total_bytes)
        return min(1.0, self.files / self.total_files) if self.total_files else None

    def status(self, room: int | None = None) -> str:
        """Return the progress in a few words; where they have no room, the rate goes first."""
        self._begin_counting()
        counted = self.files if self.total_files is None else self.total_files
        noun = "file" if counted == 1 else "files"
        files = f"{self.files:,}{_of(self.total_files, '{:,}'.format)} {noun}"
        parts = {"files": files}
        done = self.size_bytes + self.spared_bytes
        if done or self.total_bytes:
            rate = self.size_bytes / max(self.seconds, 0.001)
            parts["size"] = human_size(done) + _of(self.total_bytes, human_size)
            parts["rate"] = f"{human_size(rate)}/s"
        left = self._seconds_left()
        if left is not None:
            parts["left"] = f"{human_duration(timedelta(seconds=left))} left"
        for spared in ("rate", "files"):
            if room is not None and len(parts) > 1 and len(self._line(parts)) > room:
                parts.pop(spared, None)
        return self._line(parts)

    def _line(self, parts: Mapping[str, str]) -> str:
        return f"{self.what}: {', '.join(parts.values())}"

    def _seconds_left(self) -> float | None:
        fraction = self.fraction
        # Whole parts are sent at once to begin with: so little tells nothing of the rest.
        is_early = self.seconds < _EARLY_SECONDS and (fraction or 0) < _EARLY_FRACTION
        if not fraction or is_early or self.seconds < 1:
            return None
        return self.seconds * (1 - fraction) / fraction

    def _begin_counting(self) -> None:
        if self._sizes is None or self.seconds < COUNT_AFTER_SECONDS:
            return
        sizes, self._sizes = self._sizes, None
        threading.Thread(target=self._count, args=(sizes,), daemon=True).start()

    def _count(self, sizes: Callable[[], Iterable[int]]) -> None:
        files = size_bytes = 0
        # What cannot be read is no matter here: the command itself says it.
        with contextlib.suppress(Exception):
            for one in sizes():
                if self._ended.is_set():
                    return
                files += 1
                size_bytes += one
            self.expect(files, size_bytes)

    def _changed(self) -> None:
        pass


def _of(total: int | None, write: Callable[[int], str]) -> str:
    return "" if total is None else f" of {write(total)}"


class LineProgress(Progress):
    """A line every few seconds, for logs."""

    def __init__(self, what: str, say: Callable[[str], None]) -> None:
        super().__init__(what)
        self._say = say
        self._next_at = time.monotonic() + PROGRESS_LINE_SECONDS
        # The first line has its total already, and what ends before was not held up by counting.
        self._look_at = time.monotonic() + PROGRESS_LINE_SECONDS / 2

    def _changed(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._begin_counting()
        with self._lock:
            due = now >= self._next_at
            if due:
                self._next_at = now + PROGRESS_LINE_SECONDS
            self._look_at = self._next_at
        if due:
            self._say(self.status())


@contextmanager
def live_progress(what: str, colors: bool) -> Iterator[Progress]:
    """Show progress as a live line of the terminal, which goes away at the end."""
    import rich.progress
    from rich.console import Console
    from rich.table import Column

    progress = Progress(what)
    console = Console(stderr=True, no_color=not colors, markup=False, highlight=False)
    bar = [rich.progress.BarColumn(20)] if console.width >= _BAR_COLUMNS else []
    text = rich.progress.TextColumn(
        "{task.description}",
        markup=False,
        table_column=Column(no_wrap=True, overflow="ellipsis"),
    )
    with rich.progress.Progress(
        rich.progress.SpinnerColumn(),
        *bar,
        text,
        console=console,
        transient=True,
        auto_refresh=False,
        # Data that goes elsewhere than to the terminal must not be drawn above the live line.
        redirect_stdout=sys.stdout.isatty(),
    ) as shown:
        task = shown.add_task(progress.status(), total=None)
        # Beside the spinner, and the bar where there is one.
        room = console.width - 2 - (21 if bar else 0)
        with _repeating(lambda: _show(shown, task, progress, room)):
            yield progress


def _show(
    shown: rich.progress.Progress, task: rich.progress.TaskID, progress: Progress, room: int
) -> None:
    fraction = progress.fraction
    total = None if fraction is None else 1.0
    shown.update(task, description=progress.status(room), completed=fraction or 0, total=total)
    shown.refresh()


@contextmanager
def _repeating(action: Callable[[], None]) -> Iterator[None]:
    """Do something again and again in a thread, and once more at the end."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(_LIVE_SECONDS):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        action()
