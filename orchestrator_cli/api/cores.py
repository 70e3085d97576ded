"""On which cores of the machine the threads of the server run.

Python's lock lets one of them run at a time. To pass it to a thread on another core takes a third
of the time of a small request.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

# None on systems that do not let a program choose.
_EVERY_CORE = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None


def share_one_core() -> None:
    """Keep this thread, and those that it starts, on one core. Others are moved off it if need be.

    Several servers take different ones.
    """
    if _EVERY_CORE is not None:
        cores = sorted(_EVERY_CORE)
        _run_on({cores[os.getpid() % len(cores)]})


@contextlib.contextmanager
def on_every_core() -> Iterator[None]:
    """Let this thread run on any core, for work that hardly needs Python's lock."""
    if _EVERY_CORE is None:
        yield
        return
    before = os.sched_getaffinity(0)
    _run_on(_EVERY_CORE)
    try:
        yield
    finally:
        _run_on(before)


def _run_on(cores: set[int]) -> None:
    # Where that is forbidden, the server is only slower.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cores)
