"""Print lines on standard error. If it is closed or lost, the command goes on."""

from __future__ import annotations

import contextlib
import sys

from orchestrator_cli.core.base.text import printable


def print_error(line: str) -> None:
    """Write a line at once, with what a terminal would act on escaped."""
    # Nobody reading is no reason to stop; the exit code is what is left then.
    with contextlib.suppress(OSError):
        print(printable(line), file=sys.stderr, flush=True)


def print_error_in_order(line: str) -> None:
    """Write a line after all that was written to standard output.

    In one file or pipe both are read in their order.
    """
    # A closed one is met where it is written to.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    print_error(line)
