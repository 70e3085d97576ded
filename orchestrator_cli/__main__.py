"""The program, as `orchestrator` and as `python -m orchestrator_cli`."""

from __future__ import annotations

import gc
from typing import NoReturn

# Python's own default is reached every few files, and what they leave has hardly a cycle.
_NEW_OBJECTS_BEFORE_COLLECTION = 50_000


def run_process() -> NoReturn:
    """Run the command line and end the process."""
    # Before the program is imported: that makes many objects, and hardly one of them is garbage.
    gc.set_threshold(_NEW_OBJECTS_BEFORE_COLLECTION)
    from orchestrator_cli.cli import main

    main.run_process()


if __name__ == "__main__":
    run_process()
