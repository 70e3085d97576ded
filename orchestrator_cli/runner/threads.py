"""Start threads on machines that may allow no more of them."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start_thread(work: Callable[[], object], name: str) -> threading.Thread | None:
    """Start a daemon thread and return it; None where this machine allows no more threads."""
    # Made only now: from Python 3.13 on, one that was made before a fork cannot be started after.
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
