"""The readiness check: whether the storage responds, tried at most once every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from orchestrator_cli.api.worker_pool import BoundedWorkerPool
from orchestrator_cli.core.base.errors import OrchestratorError

# How long the result of a check is used.
FRESH_SECONDS = 5.0


class Readiness:
    """Checks the storage once for all clients that ask, in a thread of its own.

    Asking needs no token, so it must be cheap however many ask. Used from one event loop.
    """

    def __init__(
        self, check: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._check = check
        self._clock = clock
        self._pool = BoundedWorkerPool(threads=1, waiting=0)
        self._task: asyncio.Task[OrchestratorError | None] | None = None
        self._fresh_until = 0.0

    async def check(self) -> None:
        """Raise the error of the last check, if any. Check again if that is not fresh."""
        last = self._task
        if last is None or (last.done() and self._clock() >= self._fresh_until):
            last = self._task = asyncio.create_task(self._check_once())
        # A client that disconnects must not cancel the check that others wait for.
        error = await asyncio.shield(last)
        if error is not None:
            raise error

    async def _check_once(self) -> OrchestratorError | None:
        try:
            await self._pool.run(self._check)
        except OrchestratorError as error:
            return error
        finally:
            self._fresh_until = self._clock() + FRESH_SECONDS
        return None

    @property
    def busy(self) -> bool:
        """True while a check is under way."""
        return self._pool.busy

    def close(self) -> None:
        """End the thread."""
        self._pool.close()
