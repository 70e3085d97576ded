"""Wait for an execution that may be in the making."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from orchestrator_cli.core.base.errors import NotFoundError, suppress_unless_fatal
from orchestrator_cli.core.executions.ids import execution_time

T = TypeVar("T")

_YOUNG = timedelta(minutes=1)
_LOOKS = 20
_LOOK_SECONDS = 0.25


def retry_if_new(
    read: Callable[[], T],
    execution_id: str,
    now: datetime | None,
    wait: Callable[[float], None],
) -> T:
    """Return what `read` finds, waiting some seconds for it where the id is young.

    `run` makes an execution while its command runs already. Without `now` nothing is waited for.
    Raises NotFoundError.
    """
    young = now is not None and abs(now - execution_time(execution_id)) < _YOUNG
    for _ in range(_LOOKS if young else 0):
        with suppress_unless_fatal(NotFoundError):
            return read()
        wait(_LOOK_SECONDS)
    return read()
