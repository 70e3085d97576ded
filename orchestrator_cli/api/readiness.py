"""Check whether the storage answers, once every few seconds however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from orchestrator_cli.api.worker_pool import BoundedWorkerPool
from orchestrator_cli.core.base.errors import OrchestratorError

# For so long one look is the answer for everybody.
FRESH_SECONDS = 5.0


class Readiness:
    """Looks at the storage once for all who ask, in a thread that no other work waits for.

    Whoever asks needs no token, so that many may. Used from one event loop.
    """

    def __init__(
        self, check: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._check = check
        self._clock = clock
        self._pool = BoundedWorkerPool(threads=1, waiting=0)
        self._look: asyncio.Task[OrchestratorError | None] | None = None
        self._fresh_until = 0.0

    async def check(self) -> None:
        """Raise what the last look raised; look again where it is not fresh."""
        if self._look is None or (self._look.done() and self._clock() >= self._fresh_until):
            self._look = asyncio.create_task(self._look_once())
        # One client that leaves must not end the look of the others.
        error = await asyncio.shield(self._look)
        if error is not None:
            raise error

    async def _look_once(self) -> OrchestratorError | None:
        try:
            await self._pool.run(self._check)
        except OrchestratorError as error:
            return error
        finally:
            self._fresh_until = self._clock() + FRESH_SECONDS
        return None

    @property
    def busy(self) -> bool:
        """Whether a look is under way."""
        return self._pool.busy

    def close(self) -> None:
        """Look no more."""
        self._pool.close()
